/** A model as a `.wafer` file holds it: the graph and what travels with it. */
import type { Bindings } from '../core/dim';
import type { DType, TypedArray } from '../core/dtype';
import type { Graph } from '../graph/ir';

/** Where a file comes from and what was done. Holds no dates and no paths, so that equal inputs give equal bytes. */
export interface Provenance {
  /** `wafer 0.1.0`. */
  packer: string;
  /** The source model: file name, size, SHA-256 in hex. */
  source: { name: string; bytes: number; sha256: string };
  /** What was done, in order, one line a step. */
  recipe: readonly string[];
  /** Figures measured while packing, for example `sqnr_db`. */
  metrics: Readonly<Record<string, number>>;
}

/** How an image becomes an input tensor: y = (pixel - mean[c]) * scale[c], pixels 0..255. */
export interface ImageProcessing {
  input: string;
  layout: 'nchw' | 'nhwc';
  channels: 'rgb' | 'bgr' | 'gray';
  mean: readonly number[];
  scale: readonly number[];
}

/** How the outputs are to be read. */
export interface Postprocessing {
  kind: 'none' | 'classify' | 'ctc' | 'db';
}

/** One expected output of a golden run. */
export interface GoldenOutput {
  name: string;
  dtype: DType;
  shape: readonly number[];
  /** Every `stride`-th element of the output, from the first on. */
  stride: number;
  samples: TypedArray;
  /** CRC-32 of all bytes of the output, little-endian. */
  crc: number;
}

/** A run whose result is known: inputs are drawn from the seed (see golden.ts), so that only outputs are stored. */
export interface Golden {
  seed: number;
  bindings: Bindings;
  outputs: readonly GoldenOutput[];
}

/** What a value was called in the source model; `perm` maps the source's axes to the value's (NCHW to NHWC: 0,2,3,1). */
export interface Origin {
  name: string;
  perm?: readonly number[];
}

export interface WaferModel {
  graph: Graph;
  provenance: Provenance;
  /** Class names or a dictionary, in order of index. */
  labels?: readonly string[];
  images?: readonly ImageProcessing[];
  postprocessing?: Postprocessing;
  goldens: readonly Golden[];
  /** By value name in `graph`. For debugging; may be left out. */
  origins?: ReadonlyMap<string, Origin>;
}
