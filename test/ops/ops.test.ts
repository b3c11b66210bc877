/** Every operator's cases on every device that Node has. A test's name is its address: `npx vitest run -t 'ADDRESS'`. */
import { expect, test } from 'vitest';
import type { Precision } from '../../src/core/half';
import { elements } from '../../src/core/shape';
import type { GpuTraits } from '../../src/ops/define';
import type { Device } from '../../src/runtime/device';
import { NullDevice } from '../../src/runtime/null/device';
import { faultsOf, type GpuLimits, LIMITS } from '../../src/runtime/null/gpu';
import { Session } from '../../src/runtime/session';
import { shaderText } from '../../src/runtime/webgpu/device';
import { GpuPlanner } from '../../src/runtime/webgpu/plan';
import { TEXTS } from '../../src/runtime/webgpu/texts.gen';
import { allCases, buildCase, mismatch } from '../support/cases';
import { splitting } from '../support/threads';
import { baseDevice, emulatedDevice } from '../support/wasm';
import { SKIPS } from './skips';

const [base, u8] = [await baseDevice(), await emulatedDevice('u8')];
const WASM: Readonly<Record<string, Device>> = {
  ...{ 'wasm-base': base, 'wasm-u8': u8, 'wasm-s8': await emulatedDevice('s8') },
  ...{ 'wasm-base-split': splitting(base), 'wasm-u8-split': splitting(u8) },
};
const NULL = { 'null-u8': 'u8', 'null-s8': 's8', 'null-i16': 'i16' } as const;
/** What a GPU may be like, and what it has to have. */
const NULL_GPU: Readonly<Record<string, { traits: GpuTraits; limits: GpuLimits; precision?: Precision }>> = {
  'null-webgpu': { traits: { isSoftware: false, packedDot: true }, limits: LIMITS.core },
  'null-webgpu-compatibility': { traits: { isSoftware: false, packedDot: false }, limits: LIMITS.compatibility },
  'null-webgpu-software': { traits: { isSoftware: true, packedDot: false }, limits: LIMITS.compatibility },
  'null-webgpu-f16': { traits: { isSoftware: false, packedDot: true }, limits: LIMITS.core, precision: 'f16' },
};
const BROWSERS = ['chromium-base', 'chromium', 'chromium-novnni', 'webgpu', 'webgpu-compatibility', 'webgpu-packed'];
const DEVICES = ['reference', ...[WASM, NULL, NULL_GPU].flatMap(Object.keys), ...BROWSERS];

const cases = allCases();

/** A test that must fail while its address is in SKIPS. */
function addressed(address: string, body: () => void): void {
  const reason = SKIPS[address];
  test(address, () => {
    if (reason === undefined) return body();
    expect(body, `this case passes now: take it off the list of skips (${reason})`).toThrow();
  });
}

for (const c of cases) {
  addressed(`${c.address};device=reference`, () => {
    const { outputs, want } = buildCase(c);
    expect(want.map((y) => y.length)).toEqual(outputs.map((y) => elements(y.shape)));
  });

  for (const [name, device] of Object.entries(WASM))
    addressed(`${c.address};device=${name}`, () => {
      const built = buildCase(c);
      const session = new Session(built.graph, device, { guard: true });
      expect(mismatch(built, c.offline, session.run(built.inputs))).toBeUndefined();
      // Scratch and resident blocks hold the first run's values now.
      expect(mismatch(built, c.offline, session.run(built.inputs))).toBeUndefined();
    });

  for (const [name, dot] of Object.entries(NULL))
    addressed(`${c.address};device=${name}`, () => {
      const built = buildCase(c);
      const device = new NullDevice(dot);
      new Session(built.graph, device).run(built.inputs);
      for (const { kernel, args } of device.calls)
        expect(
          args.every((a) => typeof a === 'number' && !Number.isNaN(a)),
          `${kernel}(${args})`,
        ).toBe(true);
    });

  if (c.op.webgpu)
    for (const [name, { traits, limits, precision }] of Object.entries(NULL_GPU))
      addressed(`${c.address};device=${name}`, () => {
        const { graph } = buildCase(c);
        const planner = new GpuPlanner(graph, new Map(), traits, new Map(), precision);
        for (const node of graph.nodes) planner.add(node);
        expect(faultsOf(planner.finish(), limits, ({ dispatch }) => shaderText(dispatch, TEXTS))).toEqual([]);
      });
}

test('skips name cases that exist', () => {
  const addresses = cases.flatMap((c) => DEVICES.map((d) => `${c.address};device=${d}`));
  expect(Object.keys(SKIPS).filter((address) => !addresses.includes(address))).toEqual([]);
});
