/**
 * The form in which the integer kernels of conv and gemm get their weights. It is chosen from the weights themselves, so
 * that a file says nothing of it.
 */
import type { Block, Dispatch, Lowering } from './define';
import { type Codes, codedWeights } from './levels';
import { KIND_CODES, type ProductAttrs, panelCount } from './product';
import { sparseWeights } from './sparsity';

export interface Weights {
  readonly form: 'dense' | 'sparse' | Codes['form'];
  readonly packed: Block;
  /** The arguments that tell kernels the form: levels and working memory, 0 where it needs none. */
  readonly args: readonly [levels: Block | 0, room: Block | 0];
}

/**
 * The node's weights, whose channels have `runs` runs of `length` each, in a form that is fast for `rows` rows. Throws
 * UNSUPPORTED when they are not constant.
 */
export function weightsOf(node: Lowering<ProductAttrs>, rows: number, groups: number, runs: number, length: number): Weights {
  const w = node.inputs[1]!;
  if (groups === 1) {
    const sparse = sparseWeights(node, w, rows, runs, length);
    if (sparse) return { form: 'sparse', packed: sparse.lists, args: [0, sparse.tile] };
    const codes = codedWeights(node, w, rows, runs, length);
    if (codes) return { form: codes.form, packed: codes.packed, args: [codes.levels, codes.room] };
  }
  const channels = w.type.shape[0]! / groups;
  const panels = panelCount(groups, channels);
  const units = runs * Math.ceil((length * (node.dot === 'i16' ? 2 : 1)) / 4);
  const pack = (block: Block): Dispatch => ({
    kernel: 'i8_pack',
    args: [w, block, channels, runs, length, KIND_CODES[node.dot]],
    rows: panels,
  });
  const packed = node.packed('w', w, panels * units * 32, pack, groups === 1 ? 8 * runs * length : undefined);
  return { form: 'dense', packed, args: [0, 0] };
}
