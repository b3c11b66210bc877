/** The rows that a product multiplies with its weights, out of the input as it lies in memory. */
import type { Node } from '../../graph/ir';
import { windowCounts } from '../../ops/window';
import { Covariance } from './covariance';

/**
 * The i-th of `count` rows out of `length`. Multiples of the golden ratio spread evenly and never line up with the columns of an
 * image.
 */
export const rowAt = (i: number, count: number, length: number): number =>
  length <= count ? i : Math.floor(((i * 0.6180339887498949) % 1) * length);

/** Sees inputs of one product and keeps what `Covariance` keeps, for each of its groups. */
export class RowSampler {
  /** By group. */
  readonly groups: readonly Covariance[];
  private readonly taps: number;
  private readonly depth: number;

  constructor(private readonly node: Node) {
    const shape = node.inputs[1]!.type.shape as readonly number[];
    this.depth = shape.at(-1)!;
    this.taps = shape.slice(1, -1).reduce((a, b) => a * b, 1);
    const count = (node.attrs.group as number | undefined) ?? 1;
    this.groups = Array.from({ length: count }, () => new Covariance(this.taps, this.depth));
  }

  /** Takes about `count` rows, spread evenly. `data`: the product's input, of `shape`. */
  sample(data: Float32Array, shape: readonly number[], count: number): void {
    const rows = this.node.op.name === 'conv' ? this.windows(data, shape) : this.lines(data);
    for (let i = 0; i < Math.min(count, rows.length); i++) {
      const row = rowAt(i, count, rows.length);
      this.groups.forEach((group, g) => {
        rows.read(row, g, group.next);
        group.push();
      });
    }
  }

  private lines(data: Float32Array) {
    const { depth } = this;
    return {
      length: data.length / depth,
      read: (row: number, _: number, to: Float32Array) => to.set(data.subarray(row * depth, (row + 1) * depth)),
    };
  }

  private windows(data: Float32Array, [n, h, w, c]: readonly number[]) {
    const { depth } = this;
    const { attrs, inputs } = this.node;
    const [, kh, kw] = inputs[1]!.type.shape as readonly number[];
    const [strides, dilations, pads] = [attrs.strides, attrs.dilations, attrs.pads] as (readonly number[])[];
    const window = { kernel: [kh!, kw!], strides: strides!, dilations: dilations!, pads: pads! };
    const [oh, ow] = windowCounts([h!, w!], window) as [number, number];
    return {
      length: n! * oh * ow,
      read(row: number, group: number, to: Float32Array) {
        const [image, oy, ox] = [Math.floor(row / (oh * ow)), Math.floor(row / ow) % oh, row % ow];
        let at = 0;
        for (let ky = 0; ky < kh!; ky++)
          for (let kx = 0; kx < kw!; kx++, at += depth) {
            const y = oy * strides![0]! - pads![0]! + ky * dilations![0]!;
            const x = ox * strides![1]! - pads![1]! + kx * dilations![1]!;
            if (y < 0 || x < 0 || y >= h! || x >= w!) to.fill(0, at, at + depth);
            else {
              const from = ((image * h! + y) * w! + x) * c! + group * depth;
              to.set(data.subarray(from, from + depth), at);
            }
          }
      },
    };
  }
}
