/**
 * The layers that can be written as products of smaller ones, and these, all seen as convolutions: a matrix product is one of
 * single pixels. Costs are counted here, for all methods alike.
 */
import type { Bindings } from '../../core/dim';
import { elements, evaluateShape } from '../../core/shape';
import type { Node, Value } from '../../graph/ir';
import { windowCounts } from '../../ops/window';

/** Weights' shape [outputs, height, width, inputs], and how their window moves. */
export interface Stage {
  readonly shape: readonly [outputs: number, height: number, width: number, inputs: number];
  readonly strides: readonly [number, number];
  /** Top, left, bottom, right. */
  readonly pads: readonly [number, number, number, number];
  readonly dilations: readonly [number, number];
}

export interface Layer {
  readonly node: Node;
  readonly stage: Stage;
  /** Of `stage.shape`. */
  readonly weights: Float64Array;
  /** Images (or rows), and the pixels of one that the layer reads. */
  readonly input: readonly [images: number, height: number, width: number];
}

export const POINT = { strides: [1, 1], pads: [0, 0, 0, 0], dilations: [1, 1] } as const;

/** The input of the weights, if `node` is a product with constant ones. Not every such node is a `Layer`. */
export function weightsInput({ op, inputs }: Node): Value | undefined {
  const w = op.name === 'conv' || op.name === 'gemm' || op.name === 'matmul' ? inputs[1] : undefined;
  return w?.data && (op.name !== 'matmul' || w.type.shape.length === 2) ? w : undefined;
}

/** The layer at sizes of its free dimensions, or why it cannot be one. */
export function layerOf(node: Node, w: Value, bindings: Bindings): Layer | string {
  if (w.type.dtype !== 'f32') return 'its weights are integers already';
  if (((node.attrs.group as number | undefined) ?? 1) !== 1) return 'it is computed in groups';
  const data = w.data as Float32Array;
  if (!data.every(Number.isFinite)) return 'its weights are not all finite';
  const x = evaluateShape(node.inputs[0]!.type.shape, bindings);
  const [rows, columns] = w.type.shape as readonly number[];
  if (node.op.name === 'conv') {
    const { strides, pads, dilations } = node.attrs as unknown as Stage;
    const stage = { shape: w.type.shape as Stage['shape'], strides, pads, dilations };
    return { node, stage, weights: Float64Array.from(data), input: [x[0]!, x[1]!, x[2]!] };
  }
  const isTurned = node.op.name === 'matmul' && !node.attrs.transB;
  const [o, i] = isTurned ? [columns!, rows!] : [rows!, columns!];
  const weights = Float64Array.from({ length: o * i }, (_, at) =>
    isTurned ? data[(at % i) * o + Math.floor(at / i)]! : data[at]!,
  );
  return { node, stage: { shape: [o, 1, 1, i], ...POINT }, weights, input: [elements(x.slice(0, -1)), 1, 1] };
}

export interface Cost {
  /** Weights; biases stay as they are. */
  readonly parameters: number;
  readonly macs: number;
}

/** Of stages one after the other. */
export function costOf(stages: readonly Stage[], [images, ...size]: Layer['input']): Cost {
  let [parameters, macs, pixels] = [0, 0, size as number[]];
  for (const { shape, ...window } of stages) {
    const weights = elements(shape);
    pixels = windowCounts(pixels, { ...window, kernel: shape.slice(1, 3) }) as number[];
    parameters += weights;
    macs += weights * images * elements(pixels);
  }
  return { parameters, macs };
}
