/**
 * Runs a source model and the file that was made from it on the same inputs, and compares every value that both have.
 * The source's layout (NCHW) is brought to the file's by the permutation that its origin says.
 */
import type { TypedArray } from '../../core/dtype';
import { WaferError } from '../../core/errors';
import { elements, type Quant, stridesOf } from '../../core/shape';
import type { Origin, WaferModel } from '../../format/model';
import { nodeText } from '../../graph/ir';
import { compare, type Difference, type Tolerance } from './compare';
import type { Engine, Sample } from './engine';
import { loadSource } from './source';

export interface ValueDifference extends Difference {
  /** The value in the file, and the node that makes it. */
  value: string;
  node: string;
  /** What the source calls it. */
  source: string;
  divergent: boolean;
}

export interface DiffOptions extends Tolerance {
  /** Quantised models: a value diverges when its signal to noise is below this many dB, whatever the tolerance. */
  sqnr: number | undefined;
}

/** In the order of the file's nodes. Throws ARGUMENT when the file was stripped of its origins or takes other inputs, and what the runs throw. */
export async function diffModels(
  onnx: Uint8Array,
  { graph, origins }: WaferModel,
  sample: Sample,
  engine: Engine,
  options: DiffOptions,
): Promise<ValueDifference[]> {
  const outputs = new Map(graph.outputs.map(({ name, value }) => [value.name, { name }]));
  if (!origins?.size && outputs.size === 0)
    throw new WaferError('ARGUMENT', 'the file does not say what its values are called in the source', {
      hint: 'pack without --strip',
    });
  const originOf = (name: string): Origin | undefined => origins?.get(name) ?? outputs.get(name);
  const source = await loadSource(
    onnx,
    [...(origins?.values() ?? [])].map((origin) => origin.name),
  );
  const names = graph.inputs.map((x) => x.name);
  const odd = [...source.inputs, ...names].find((name) => !source.inputs.includes(name) || !names.includes(name));
  if (odd !== undefined)
    throw new WaferError('ARGUMENT', `only the ${names.includes(odd) ? 'file' : 'source'} has an input "${odd}"`, {
      hint: 'pass the model that the file was packed from; inputs that were fixed when packing cannot be compared',
    });
  const wanted = await source.run(sample);
  const found: ValueDifference[] = [];
  const session = await engine.session(graph);
  session.run(sample, {
    observe(node, values) {
      for (const { name, data, shape, type } of values) {
        const origin = originOf(name);
        const want = origin && wanted.get(origin.name);
        if (!want || want.data.length !== elements(shape)) continue;
        const { perm } = origin;
        const aligned = perm && perm.length === want.shape.length ? transposed(want.data, want.shape, perm) : want.data;
        const difference = compare(dequantized(data, type.quant), aligned, options);
        const divergent = options.sqnr === undefined ? difference.beyond > 0 : difference.sqnr < options.sqnr;
        found.push({ value: name, node: nodeText(node), source: origin.name, ...difference, divergent });
      }
    },
  });
  session.dispose();
  return found;
}

const dequantized = (data: TypedArray, quant: Quant | undefined): ArrayLike<number> =>
  quant ? Float64Array.from(data, (level) => (level - quant.zero) * quant.scale) : data;

/** Axis i of the result is axis perm[i] of `data`. */
function transposed(data: TypedArray, shape: readonly number[], perm: readonly number[]): TypedArray {
  const from = stridesOf(shape);
  const strides = perm.map((axis) => from[axis]!);
  const sizes = perm.map((axis) => shape[axis]!);
  const index = new Array<number>(perm.length).fill(0);
  const result = data.slice();
  let at = 0;
  for (let i = 0; i < data.length; i++) {
    result[i] = data[at]!;
    for (let axis = perm.length - 1; axis >= 0; axis--) {
      at += strides[axis]!;
      if (++index[axis]! < sizes[axis]!) break;
      at -= strides[axis]! * sizes[axis]!;
      index[axis] = 0;
    }
  }
  return result;
}
