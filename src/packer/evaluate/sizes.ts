/** What takes the bytes of a .wafer file. */
import type { DType } from '../../core/dtype';
import { describeBlob } from '../../format/describe';
import type { Encoding } from '../../format/layout';
import { readWhole } from '../../format/reader';

export interface EncodedSize {
  dtype: DType;
  encoding: Encoding;
  tensors: number;
  elements: number;
  bytes: number;
}

/** By type and encoding, the largest first; tensors with equal elements are stored, and counted, once. Throws BAD_FILE. */
export function encodedSizes(file: Uint8Array): EncodedSize[] {
  const sizes = new Map<string, EncodedSize>();
  for (const { dtype, encoding, elements, bytes } of readWhole(file).blobs) {
    const key = `${dtype} ${encoding}`;
    const size = sizes.get(key) ?? { dtype, encoding, tensors: 0, elements: 0, bytes: 0 };
    sizes.set(key, size);
    size.tensors++;
    size.elements += elements;
    size.bytes += bytes;
  }
  return [...sizes.values()].sort((a, b) => b.bytes - a.bytes);
}

export interface LayerSize {
  layer: string;
  elements: number;
  /** The largest first. Encodings are called as `wafer inspect` has them, without what is said of streams: `f32 planes`, `i8 ternary`. */
  parts: { encoding: string; bytes: number }[];
}

/** By the node that reads it first, in order. What several nodes read counts once. Throws BAD_FILE. */
export function layerSizes(file: Uint8Array): LayerSize[] {
  const { blobs, model } = readWhole(file);
  const unseen = new Map(blobs.map((blob) => [blob.data, blob]));
  return model!.graph.nodes.flatMap(({ name, inputs }) => {
    const parts = new Map<string, number>();
    let elements = 0;
    for (const x of inputs) {
      const blob = x?.data && unseen.get(x.data);
      if (!blob) continue;
      unseen.delete(blob.data);
      elements += blob.elements;
      const [form] = /^(?:vectors of \d+|[\w-]+)/.exec(describeBlob(blob, file))!;
      const encoding = `${blob.dtype} ${form}`;
      parts.set(encoding, (parts.get(encoding) ?? 0) + blob.bytes);
    }
    const sorted = [...parts].map(([encoding, bytes]) => ({ encoding, bytes })).sort((a, b) => b.bytes - a.bytes);
    return elements > 0 ? [{ layer: name, elements, parts: sorted }] : [];
  });
}
