/** Files that show what a page has of a GPU besides its operators. */
import { type Bindings, symbol } from '../../src/core/dim';
import { makeGolden } from '../../src/format/golden';
import type { WaferModel } from '../../src/format/model';
import { writeWafer } from '../../src/format/writer';
import { Builder, type Graph } from '../../src/graph/ir';
import { step } from '../../src/ops/steps';
import { runGolden } from '../../src/runtime/golden';
import { Session } from '../../src/runtime/session';
import { modelOf } from '../format/models';
import { baseDevice } from './wasm';

/** y = relu(2x + 1), z = -y, over N rows of 4, with a golden run of 3 rows; `off` is added to what is expected of y. */
export async function rows(off = 0): Promise<Uint8Array> {
  const builder = new Builder();
  const x = builder.input('x', { dtype: 'f32', shape: [symbol('N'), 4] });
  const y = builder.node('unary', 'y', [x], { steps: [step('affine', 2, 1), step('relu')] });
  const z = builder.node('unary', 'z', [y], { steps: [step('neg')] });
  const graph = builder.finish([y, z].map((value) => ({ name: value.name, value })));
  const bindings = new Map([['N', 3]]);
  return withGolden(graph, bindings, off);
}

async function withGolden(graph: Graph, bindings: Bindings, off = 0): Promise<Uint8Array> {
  const outputs = runGolden(new Session(graph, await baseDevice()), { seed: 1, bindings });
  outputs[0]!.data[5]! += off;
  return writeWafer({ ...modelOf(graph), goldens: [makeGolden(1, bindings, outputs)] });
}

/** y = 2 * factor * x over 2 rows of 4, in which the factor is a constant, with a golden run. */
export function scaled(factor: number): Promise<Uint8Array> {
  const builder = new Builder();
  const x = builder.input('x', { dtype: 'f32', shape: [2, 4] });
  const w = builder.numbers('w', 'f32', [4], new Array<number>(4).fill(factor));
  const part = builder.node('binary', 'part', [x, w], { fn: 'mul' });
  const y = builder.node('binary', 'y', [part, part], { fn: 'add' });
  return withGolden(builder.finish([{ name: 'y', value: y }]), new Map());
}

/** y = the picture as it is read, in either layout. */
export function seeing(layout: 'nhwc' | 'nchw', channels: 'rgb' | 'bgr' | 'gray'): Uint8Array {
  const builder = new Builder();
  const planes = channels === 'gray' ? 1 : 3;
  const sides = [symbol('H'), symbol('W')];
  const shape = layout === 'nhwc' ? [1, ...sides, planes] : [1, planes, ...sides];
  const x = builder.input('x', { dtype: 'f32', shape });
  const y = builder.node('unary', 'y', [x], { steps: [step('affine', 1, 0.5)] });
  const model: WaferModel = modelOf(builder.finish([{ name: 'y', value: y }]));
  const [mean, scale] = [[100, 110, 120].slice(0, planes), [0.01, 0.02, 0.03].slice(0, planes)];
  const images = [{ input: 'x', layout, channels, mean, scale }];
  return writeWafer({ ...model, images });
}

/** y = x * [1, 2, 3, 4], over N rows. */
export function weighted(): Uint8Array {
  const builder = new Builder();
  const x = builder.input('x', { dtype: 'f32', shape: [symbol('N'), 4] });
  const y = builder.node('binary', 'y', [x, builder.numbers('c', 'f32', [4], [1, 2, 3, 4])], { fn: 'mul' });
  return writeWafer(modelOf(builder.finish([{ name: 'y', value: y }])));
}
