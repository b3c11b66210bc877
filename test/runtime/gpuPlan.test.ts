/** Plans for a GPU, which need none: what a plan in 16 bits takes, and of what. */
import { expect, test } from 'vitest';
import { fromHalves, type Precision } from '../../src/core/half';
import { Builder, type Graph } from '../../src/graph/ir';
import { step } from '../../src/ops/steps';
import { pipelineKey } from '../../src/runtime/webgpu/device';
import { type GpuConstant, type GpuPlan, GpuPlanner } from '../../src/runtime/webgpu/plan';

function planned(graph: Graph, precision?: Precision): { plan: GpuPlan; constants: GpuConstant[]; keys: string[] } {
  const traits = { isSoftware: true, packedDot: false };
  const planner = new GpuPlanner(graph, new Map(), traits, new Map(), precision);
  const constants = graph.nodes.flatMap((node) => planner.add(node));
  const plan = planner.finish();
  return { plan, constants, keys: plan.nodes.flatMap(({ calls }) => calls.map(({ dispatch }) => pipelineKey(dispatch))) };
}

/** Rows of x by those of a constant table, and indices moved beside them. */
function mixed(): Graph {
  const builder = new Builder();
  const x = builder.input('x', { dtype: 'f32', shape: [300, 7] });
  const i = builder.input('i', { dtype: 'i32', shape: [5, 300] });
  const bias = builder.numbers('bias', 'f32', [7], [0.1, 1, -2, 1e-9, 3, 65504, 0.3]);
  const sums = builder.node('binary', 'sums', [x, bias], { fn: 'add', act: [step('relu')] });
  const moved = builder.node('transpose', 'moved', [i], { perm: [1, 0] });
  const whole = builder.node('cast', 'whole', [sums], { to: 'i32' });
  return builder.finish([sums, moved, whole].map((value) => ({ name: value.name, value })));
}

test('gpuPlan/f16 halves floats and leaves integers', () => {
  const [f32, f16] = [planned(mixed()), planned(mixed(), 'f16')];
  const bytes = ({ plan }: { plan: GpuPlan }) => [...plan.inputs, ...plan.outputs].map(({ place }) => place!.bytes);
  expect(bytes(f32)).toEqual([8400, 6000, 8400, 6000, 8400]);
  expect(bytes(f16)).toEqual([4200, 6000, 4200, 6000, 8400]);
  expect([f32.plan.precision, f16.plan.precision]).toEqual(['f32', 'f16']);
});

test('gpuPlan/f16 is a flag of those dispatches alone that have floats', () => {
  const { keys } = planned(mixed(), 'f16');
  const inHalves = keys.map((key) => [key.split(' ')[0], key.includes('F16=true')]);
  expect(inHalves).toEqual([
    ['binary', true],
    ['move', false],
    ['cast', true],
  ]);
  expect(planned(mixed()).keys.join()).not.toContain('F16');
});

test('gpuPlan/f16 rounds constants', () => {
  const [constant, ...more] = planned(mixed(), 'f16').constants;
  expect(more).toEqual([]);
  const values = fromHalves(constant!.data as Uint16Array);
  expect([...values]).toEqual([0.0999755859375, 1, -2, 0, 3, 65504, 0.300048828125]);
  expect(planned(mixed()).constants[0]!.data).toBeInstanceOf(Float32Array);
});

test('gpuPlan/what parts of a reduction give stays f32', () => {
  const builder = new Builder();
  const x = builder.input('x', { dtype: 'f32', shape: [5000] });
  const y = builder.node('reduce', 'y', [x], { fn: 'sumSquare', axes: [0] });
  const { plan, keys } = planned(builder.finish([{ name: 'y', value: y }]), 'f16');
  const [first, second] = plan.nodes[0]!.calls;
  expect(keys).toHaveLength(2);
  expect(keys[0]).toBe('reduce F16=true FN=sumSquare FROM_PARTS=false TO_PARTS=true');
  expect(keys[1]).toBe('reduce F16=true FN=sum FROM_PARTS=true TO_PARTS=false');
  expect(first!.writes[0]!.bytes).toBe(4 * first!.dispatch.threads);
  expect(second!.writes[0]!.bytes).toBe(4);
});
