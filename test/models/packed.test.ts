/**
 * The files of models/ in Chromium: WASM gives the bytes that the packer's own engine gives, and so do GPUs, core and compatibility,
 * where all products are of integers.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { RECIPES } from '../../models/recipes';
import { gpuFlags } from '../../scripts/browser';
import { readWafer } from '../../src/format/reader';
import type { Graph } from '../../src/graph/ir';
import { compare } from '../../src/packer/evaluate/compare';
import { wasmEngine } from '../../src/packer/evaluate/engine';
import { gpuTolerance } from '../../src/runtime/golden';
import { binaries } from '../../src/runtime/wasm/binaries';
import { drawnInputs } from '../engines/runs';
import { type ApiPage, openApiPage } from '../support/page';
import { receiveAll, sendAll, toBase64 } from '../support/sent';
import type { ModelCalls } from './models.page';

const SEEDS = [1, 2, 3];
/** Inputs are drawn from minus this to this: ResNet8 takes pixels of 0 to 255. */
const gainOf = (name: string) => (name.startsWith('cifar10/') ? 128 : 2);

const LEVELS = ['core', 'compatibility'] as const;
let page: ApiPage<ModelCalls>;
let gpus: ApiPage<ModelCalls>[];
beforeAll(async () => {
  page = await openApiPage('test/models/models.page.ts');
  gpus = await Promise.all(LEVELS.map((level) => openApiPage<ModelCalls>('test/models/models.page.ts', gpuFlags(level))));
});
afterAll(() => Promise.all([page, ...(gpus ?? [])].map((one) => one?.close())));

/** Whether nothing rounds otherwise from one device to another: a product of floats sums in some order. */
const isExact = ({ nodes }: Graph): boolean =>
  nodes.every(({ op, inputs: [x] }) => !['conv', 'gemm', 'binaryConv'].includes(op.name) || x!.type.dtype === 'i8');

test.each(RECIPES)('packed/$name: a browser computes what the packer did', async ({ name }) => {
  const bytes = new Uint8Array(readFileSync(`models/${name}.wafer`));
  const { graph, goldens } = readWafer(bytes);
  const bindings = Object.fromEntries(goldens[0]?.bindings ?? []);
  const samples = SEEDS.map((seed) => drawnInputs(graph, bindings, seed, gainOf(name)));
  const session = await wasmEngine(binaries()).session(graph);
  const want = samples.map((sample) => session.run(sample));
  session.dispose();
  const [file, sent] = [toBase64(bytes), samples.map(sendAll)];
  const own = await page.call.runFile(file, sent);
  expect(own).toMatchObject({ thread: 'worker', device: 'wasm', outputs: want.map(sendAll) });
  const { rms } = gpuTolerance(graph, 'f32');
  for (const [i, level] of LEVELS.entries()) {
    const got = await gpus[i]!.call.runFile(file, sent, level);
    expect(got.device).toContain(level);
    if (isExact(graph)) expect(got.outputs, level).toEqual(want.map(sendAll));
    else
      for (const [k, tensors] of got.outputs.entries())
        for (const [output, { data }] of Object.entries(receiveAll(tensors))) {
          const { beyond, sqnr } = compare(data, want[k]![output]!.data, { abs: 1e-4, rel: 1e-3 });
          if (rms) expect(sqnr, `${level}, ${output}`).toBeGreaterThan(-20 * Math.log10(rms));
          else expect(beyond, `${level}, ${output}`).toBe(0);
        }
  }
});
