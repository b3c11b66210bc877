/**
 * The one table that says what a `.wafer` file looks like. It is data: reader.ts and writer.ts each walk it, so that the
 * two cannot disagree and a browser carries only the reading half. docs/format.md says the same in prose.
 *
 * Everything here is for ever: codes and list entries may be added at the end, nothing may be changed or reused. So is the
 * order (and are the defaults) of each operator's attributes, since the file holds only those that differ from their default.
 */
import type { Dim } from '../core/dim';
import type { DType } from '../core/dtype';
import type { Quant } from '../core/shape';
import type { AttrKind } from '../ops/define';

/** The bytes `WAFR`, read as a little-endian u32. */
export const MAGIC = 0x52464157;
/** What is written. Version 1 is read, too. */
export const VERSION = 2;

/**
 * u32 magic, u16 version, u16 flags, u32 bytes in the file, u32 bytes of the head, u32 CRC-32 of the weights, which are all that
 * comes behind the head, u32 CRC-32 of the head and of all before this number. The head is the other sections, each a tag (a byte),
 * a uint, its length, and that many bytes; with PACKED_HEAD it is a uint, the length of all these, and then lz.ts's code of them.
 */
export const HEADER_BYTES = 24;
export const PACKED_HEAD = 1;
/** Raw tensors of so many bytes begin at multiples of ALIGNMENT. */
export const ALIGNED_BYTES = 1024;

/** Version 1: u32 magic, u16 version, u16 flags (0), u32 bytes in the file, u32 number of sections. */
export const HEADER_BYTES_1 = 16;
/** Version 1: u32 tag, u32 encoding (0), u32 offset, u32 length, u32 CRC-32. After the rows comes the CRC-32 of all that stands before it. */
export const ROW_BYTES_1 = 20;
/** Raw tensors begin at multiples of this, so that views of any element type need no copy; in version 1 sections do, too. */
export const ALIGNMENT = 16;

export const alignUp = (offset: number): number => Math.ceil(offset / ALIGNMENT) * ALIGNMENT;

/**
 * Sections in the order of the file. As in PNG, a reader that does not know a tag must refuse the file when its first
 * letter is a capital, and may skip the section otherwise.
 */
export const TAGS = {
  graph: 'GRPH',
  tensors: 'TENS',
  labels: 'labl',
  processing: 'proc',
  provenance: 'PROV',
  goldens: 'gold',
  origins: 'orig',
  weights: 'WGTS',
} as const;
export type SectionName = keyof typeof TAGS;

/** The tags of the head's sections since version 2. */
export const LETTERS: Readonly<Record<Exclude<SectionName, 'weights'>, string>> = {
  graph: 'G',
  tensors: 'T',
  labels: 'l',
  processing: 'p',
  provenance: 'P',
  goldens: 'g',
  origins: 'o',
};

/** How the elements of a tensor are stored; the index is the number in the file. Append only. */
export const ENCODINGS = [
  /** The elements, little-endian, at a multiple of ALIGNMENT. */
  'raw',
  /** One element, which all are equal to. */
  'fill',
  /** i32: each element as a zigzag varint. */
  'varint',
  /** i32: each element minus the one before (modulo 2^32; the first minus 0) as a zigzag varint. */
  'delta',
  /** One stream for each byte of an element, the lowest first. */
  'planes',
  /** f32: as `planes`, of 16-bit floats. */
  'half',
  /** A palette of 2 to 256 values, then a stream of symbols, each of which stands for as many elements as fit a byte, or fewer. */
  'palette',
  /** Which elements, or blocks of 4, are not zero; then these. Both are encoded in turn. */
  'sparse',
  /** Words of 1, 2 or 4 bytes as numbers in learnt bits, or the differences between them. */
  'numbers',
  /** i32 of which the lowest bits are all 0: how many these are, and the others, encoded in turn. */
  'shifted',
] as const;
export type Encoding = (typeof ENCODINGS)[number];

/** How a stream of bytes is stored; the index is the number in the file. Append only. */
export const STREAMS = [
  /** As they are. */
  'plain',
  /** One byte, which all are equal to. */
  'fill',
  /** In bits that are learnt. */
  'learnt',
  /** In an entropy code with a table. */
  'rans',
] as const;

/** How a palette is stored; the index is the number in the file. Append only. */
export const PALETTES = [
  /** Integers at equal distances: an int, the first, and a uint, the distance. */
  'steps',
  /** Integers: an int, the first, and uints, the distances between them. */
  'integers',
  /** 16-bit floats. */
  'halves',
  /** f32. */
  'floats',
] as const;

/** Tensors decode to at most so many times their stored bytes, */
export const MAX_GROWTH = 64;
/** and all of a file together to so many bytes more. */
export const MAX_EXTRA_BYTES = 64 << 20;
/** Elements of tensors whose bits are learnt, which takes time. */
export const MAX_LEARNT_ELEMENTS = 1 << 14;
/** Any section but the weights. */
export const MAX_SECTION_BYTES = 16 << 20;
/** A packed head, once unpacked. */
export const MAX_PACKED_BYTES = 1 << 20;
/** UTF-16 units of all names in `orig` together. */
export const MAX_NAME_UNITS = 1 << 24;
export const MAX_RANK = 16;
/** Elements of all inputs of a golden run together. */
export const MAX_GOLDEN_ELEMENTS = 1 << 26;
export const MAX_NODES = 1 << 16;
/** How deep floor divisions may stand in one another in a dimension. */
export const MAX_DIM_DEPTH = 64;

// ---- fields ----

/** Fields that are read as one. */
interface Scalars {
  /** LEB128 varint, 0..2^53-1. */
  uint: number;
  /** Zigzag (0, -1, 1, -2 … as 0, 1, 2, 3 …), then as uint. */
  int: number;
  /** A byte: 0, then an int; 1, then an f32; 2, then an f64. Never NaN. */
  number: number;
  /** A byte, 0 or 1. */
  bool: boolean;
  /** Four bytes. */
  u32: number;
  /** A uint, the number of bytes; then UTF-8. */
  text: string;
  /** A uint: index into the graph's strings. */
  string: string;
  /** Front-coded: a uint, how many UTF-16 units to keep of the `name` before in this section; then text to append. */
  name: string;
  /** A uint, the number of bytes; then these. */
  bytes: Uint8Array;
  /** An f32 > 0, then the zero point as a signed byte. */
  quant: Quant;
  /** A byte: the dtype's code. */
  dtype: DType;
  /**
   * An int 2k for the number k. Else an int 2n + 1: a sum of n terms, each an int (coefficient), a uint (number of factors) and
   * the factors. A factor is a uint 2s for the symbol that is string s, or 2d + 1 and a dimension for floor(dimension / d).
   */
  dim: Dim;
}
type Scalar = keyof Scalars;

/**
 * A field: a scalar; an optional one (a byte 0, or 1 and the field); a list (a uint and as many fields); a map (a uint and as
 * many pairs of text and field); a choice (a uint, the index); a record (its fields in order).
 */
export type Field =
  | Scalar
  | { readonly maybe: Field }
  | { readonly list: Field }
  | { readonly map: Field }
  | { readonly choice: readonly string[] }
  | { readonly record: Readonly<Record<string, Field>> };

/** The type of what a field holds. */
export type Of<F> = F extends Scalar
  ? Scalars[F]
  : F extends { readonly maybe: infer E }
    ? Of<E> | undefined
    : F extends { readonly list: infer E }
      ? readonly Of<E>[]
      : F extends { readonly map: infer E }
        ? ReadonlyMap<string, Of<E>>
        : F extends { readonly choice: readonly (infer C)[] }
          ? C
          : F extends { readonly record: infer R }
            ? Fields<R>
            : never;

type Fields<R> = { [K in keyof R as R[K] extends Maybe ? never : K]: Of<R[K]> } & {
  [K in keyof R as R[K] extends Maybe ? K : never]?: R[K] extends { readonly maybe: infer E } ? Of<E> : never;
};
type Maybe = { readonly maybe: Field };

const map = <const F extends Field>(field: F) => ({ map: field }) as const;
const maybe = <const F extends Field>(field: F) => ({ maybe: field }) as const;
const list = <const F extends Field>(field: F) => ({ list: field }) as const;
const choice = <const C extends readonly string[]>(...names: C) => ({ choice: names }) as const;
const record = <const R extends Readonly<Record<string, Field>>>(fields: R) => ({ record: fields }) as const;

/** How attributes are stored, by their kind. */
export const ATTRS: Readonly<Record<AttrKind, Field>> = {
  int: 'int',
  float: 'number',
  bool: 'bool',
  ints: list('int'),
  floats: list('number'),
  dims: list('dim'),
  string: 'string',
  steps: list(record({ fn: 'string', a: 'number', b: 'number' })),
  quant: maybe('quant'),
};

const type = record({ dtype: 'dtype', shape: list('dim'), quant: maybe('quant') });

/**
 * GRPH: strings, inputs, nodes, outputs. Values are numbered as they appear: inputs first, then each node's outputs. A
 * reference is a uint: 0 for an absent input; 2t + 2 for tensor t; 2b - 1 for the value b places back from the last one
 * (b = 1 is the last), so that a node cannot refer forwards. A node is its opcode (uint), a uint whose bit i says that
 * attribute i of the operator's schema differs from its default, those attributes, and a list of references.
 */
export const GRAPH = {
  /** Symbols, functions of steps and string attributes, in order of first use. */
  strings: list('text'),
  inputs: list(record({ name: 'text', type })),
  refs: list('uint'),
  outputs: list(record({ name: 'text', ref: 'uint' })),
} as const;

/**
 * TENS: what WGTS holds. Blobs follow one another there, large raw ones (in version 1 all) at the next multiple of ALIGNMENT;
 * `bytes` is the stored length. Tensors are in order of first use; those with equal elements share a blob.
 */
export const TENSORS = record({
  blobs: list(record({ dtype: 'dtype', encoding: choice(...ENCODINGS), elements: 'uint', bytes: 'uint' })),
  tensors: list(record({ blob: 'uint', shape: list('uint'), quant: maybe('quant') })),
});

export const LABELS = list('text');

export const PROCESSING = record({
  images: maybe(
    list(
      record({
        input: 'text',
        layout: choice('nchw', 'nhwc'),
        channels: choice('rgb', 'bgr', 'gray'),
        mean: list('number'),
        scale: list('number'),
      }),
    ),
  ),
  postprocessing: maybe(record({ kind: choice('none', 'classify', 'ctc', 'db') })),
});

export const PROVENANCE = record({
  packer: 'text',
  source: record({ name: 'text', bytes: 'uint', sha256: 'text' }),
  recipe: list('text'),
  metrics: map('number'),
});

export const GOLDENS = list(
  record({
    seed: 'u32',
    bindings: map('uint'),
    outputs: list(record({ name: 'text', dtype: 'dtype', shape: list('uint'), stride: 'uint', samples: 'bytes', crc: 'u32' })),
  }),
);

const origin = maybe(record({ name: 'name', perm: maybe(list('uint')) }));

/**
 * orig, for debugging: the origin of each input; of each node the names of the tensors that it is the first to use, its name,
 * which is also that of its first output, and the origins of its outputs; the names of tensors that no node uses. Names that
 * are alike thus stand side by side, where a `name` takes few bytes.
 */
export const ORIGINS = record({
  inputs: list(origin),
  nodes: list(record({ tensors: list('name'), name: 'name', outputs: list(origin) })),
  tensors: list('name'),
});
