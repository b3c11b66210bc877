/**
 * Files that were changed under right checksums and that the reader still takes: they run, on a device with guarded memory, as
 * the reference says, or end in a WaferError. A hostile file may describe another model; it may not make Wafer go wrong.
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { WaferError } from '../../src/core/errors';
import { elements, type StaticShape, type StaticType } from '../../src/core/shape';
import { goldenInputs } from '../../src/format/golden';
import { readWafer } from '../../src/format/reader';
import { writeWafer } from '../../src/format/writer';
import { constantsOf, type Graph } from '../../src/graph/ir';
import { printGraph } from '../../src/graph/print';
import type { AttrValue } from '../../src/ops/define';
import { runOutputs, toReference } from '../../src/packer/evaluate/reference';
import { Session } from '../../src/runtime/session';
import { allCases, buildCase } from '../support/cases';
import { baseDevice } from '../support/wasm';
import { modelOf } from './models';
import { seal, unseal } from './seal';

const device = await baseDevice();
const FILES = allCases().flatMap((c) => {
  try {
    return [writeWafer(modelOf(buildCase(c).graph))];
  } catch {
    return [];
  }
});

function orWaferError<T>(body: () => T): T | undefined {
  try {
    return body();
  } catch (error) {
    if (!(error instanceof WaferError)) throw error;
    return undefined;
  }
}

/** Small enough to run, all steps exact in f32, as the kernels take them, and no constant so large that its products are not finite. */
function comparable(graph: Graph): boolean {
  const { inputs, nodes } = graph;
  const types = [...inputs, ...nodes.flatMap((n) => n.outputs)].map((x) => x.type as StaticType);
  const exact = (value: AttrValue): boolean =>
    typeof value === 'number'
      ? Math.fround(value) === value
      : typeof value !== 'object' || value === null || Object.values(value).every((v) => exact(v as AttrValue));
  const steps = nodes.flatMap((n) => Object.values(n.attrs).filter((v) => Array.isArray(v)));
  const moderate = constantsOf(graph).every(({ data }) => data!.every((x) => Math.abs(x) < 1e15));
  return moderate && types.reduce((n, t) => n + elements(t.shape), 0) < 20_000 && steps.every(exact);
}

function check(graph: Graph): void {
  const inputs = goldenInputs(graph, { seed: 5, bindings: new Map() });
  const given = Object.fromEntries(
    graph.inputs.map((x) => [x.name, { data: inputs[x.name]!, shape: x.type.shape as StaticShape }]),
  );
  const got = orWaferError(() => new Session(graph, device, { guard: true }).run(given));
  if (!got) return;
  const want = runOutputs(graph, new Map(graph.inputs.map((x) => [x.name, toReference(x.type as StaticType, inputs[x.name]!)])));
  for (const { name, value } of graph.outputs) {
    const [y, reference] = [got[name]!.data, want.get(name)!.data];
    const close = (a: number, b: number) =>
      Object.is(a, b) || a === b || (value.type.dtype === 'f32' && Math.abs(a - b) <= 1e-3 + 1e-3 * Math.abs(b));
    const wrong = reference.findIndex((b, i) => !close(y[i]!, value.type.dtype === 'f32' ? Math.fround(b) : b));
    expect(wrong < 0, `element ${wrong} is ${y[wrong]}, expected ${reference[wrong]} in\n${printGraph(graph)}`).toBe(true);
  }
}

it('changed files run as the reference says', () => {
  let ran = 0;
  const edit = fc.record({
    graph: fc.integer({ min: 0, max: 4 }),
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    byte: fc.nat(255),
    flip: fc.boolean(),
  });
  const changed = fc.tuple(fc.nat(FILES.length - 1), fc.array(edit, { minLength: 1, maxLength: 2 }));
  fc.assert(
    fc.property(changed, ([which, edits]) => {
      const parts = unseal(FILES[which]!);
      for (const { graph, at, byte, flip } of edits) {
        const { bytes } = parts[graph % parts.length]!;
        const i = Math.min(bytes.length - 1, Math.floor(at * bytes.length));
        if (i >= 0) bytes[i] = flip ? bytes[i]! ^ (1 << (byte & 7)) : byte & 15;
      }
      const model = orWaferError(() => readWafer(seal(parts)));
      if (!model || !comparable(model.graph)) return;
      ran++;
      check(model.graph);
    }),
    { numRuns: 6000, seed: 6 },
  );
  expect(ran).toBeGreaterThan(500);
});
