/** Broadcasting in devices' dispatches: what is refused, and what the shapes that networks are full of become. */
import { expect, test } from 'vitest';
import { Builder, type Graph } from '../../src/graph/ir';
import { op } from '../../src/ops/binary';
import { fillAttrs } from '../../src/ops/define';
import { NullDevice } from '../../src/runtime/null/device';
import { Session } from '../../src/runtime/session';
import { pipelineKey } from '../../src/runtime/webgpu/device';
import { GpuPlanner } from '../../src/runtime/webgpu/plan';

function product(a: readonly number[], b: readonly number[]): Graph {
  const build = new Builder();
  const operands = [a, b].map((shape, i) => build.input('ab'[i]!, { dtype: 'f32', shape }));
  const [y] = build.add(op, 'y', operands, fillAttrs(op.attrs, { fn: 'mul' }));
  return build.finish([{ name: 'y', value: y! }]);
}

function pipelines(a: readonly number[], b: readonly number[]): string[] {
  const graph = product(a, b);
  const planner = new GpuPlanner(graph, new Map(), { isSoftware: true, packedDot: false }, new Map());
  for (const node of graph.nodes) planner.add(node);
  return planner.finish().nodes.flatMap(({ calls }) => calls.map(({ dispatch }) => pipelineKey(dispatch)));
}

test('operands that alternate over more than 5 dimensions are refused on every device', () => {
  const [a, b] = [
    [2, 1, 2, 1, 2, 1],
    [1, 2, 1, 2, 1, 2],
  ] as const;
  const refusal = expect.objectContaining({ code: 'UNSUPPORTED', message: expect.stringContaining('more than 5 dimensions') });
  expect(() => pipelines(a, b)).toThrow(refusal);
  const inputs = { a: { data: new Float32Array(8), shape: a }, b: { data: new Float32Array(8), shape: b } };
  expect(() => new Session(product(a, b), new NullDevice('u8')).run(inputs)).toThrow(refusal);
});

test('gates, residuals and factors of channels share a pipeline that takes channels in fours', () => {
  const image = [1, 7, 5, 24];
  const [gate, residual, factor] = [[1, 1, 1, 24], image, [24]].map((b) => pipelines(image, b));
  expect(gate).toEqual([expect.stringContaining('VEC=true')]);
  expect(residual).toEqual(gate);
  expect(factor).toEqual(gate);
});
