/** What is compiled before a file's weights are there. */
import { expect, test } from 'vitest';
import { pipelineKey } from '../../src/runtime/webgpu/device';
import { draftOf, GpuPlanner } from '../../src/runtime/webgpu/plan';
import { allCases, buildCase } from '../support/cases';

const traits = { isSoftware: true, packedDot: false };

test('draft/a plan without constants asks for the pipelines of the plan with them', () => {
  const others: string[] = [];
  let drafts = 0;
  for (const c of allCases()) {
    const { graph } = buildCase(c);
    const planner = new GpuPlanner(graph, new Map(), traits, new Map());
    const real = new Set(graph.nodes.flatMap((node) => planner.callsOf(node)).map(({ dispatch }) => pipelineKey(dispatch)));
    const draft = draftOf(graph, new Map(), traits, 'f32').map(pipelineKey);
    drafts += draft.length;
    // Weights of few levels are seen only when they are there.
    if ([...real].some((key) => /CODES=[24]/.test(key))) continue;
    others.push(...draft.filter((key) => !real.has(key)));
  }
  expect(others).toEqual([]);
  expect(drafts).toBeGreaterThan(1000);
});
