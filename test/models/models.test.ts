/**
 * Whole models, packed in memory to fp32 and int8: run in Node against onnxruntime-node and against the float graph, then
 * in Chromium, where the public API must give the bytes that Node's base build gives, and on its software GPUs: the same bytes where a
 * model computes in integers, and floats within the accuracy of floats.
 */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { gpuFlags } from '../../scripts/browser';
import { readWafer } from '../../src/format/reader';
import { compare } from '../../src/packer/evaluate/compare';
import { type Sample, wasmEngine } from '../../src/packer/evaluate/engine';
import { loadSource } from '../../src/packer/evaluate/source';
import { pack } from '../../src/packer/pack';
import { gpuTolerance } from '../../src/runtime/golden';
import type { TensorData } from '../../src/runtime/session';
import { binaries } from '../../src/runtime/wasm/binaries';
import { type ApiPage, openApiPage } from '../support/page';
import { receiveAll, type Sent, sendAll, toBase64 } from '../support/sent';
import { files, leastSqnr, missing, SKIPS, samplesOf } from './models';
import type { ModelCalls } from './models.page';

const PRECISIONS = ['fp32', 'int8'] as const;
type Precision = (typeof PRECISIONS)[number];

/** Of the ONNX file's bytes, in an int8 file. */
const LARGEST_SHARE = 0.29;

/** A model packed, and what its files make of its samples in Node. */
interface Subject {
  onnx: Uint8Array;
  samples: Sample[];
  bytes: Record<Precision, Uint8Array>;
  outputs: Record<Precision, Record<string, TensorData>[]>;
}

const subjects = new Map<string, Promise<Subject>>();

/** Packs a model once, whichever test asks first. */
function subject(file: string): Promise<Subject> {
  let made = subjects.get(file);
  if (!made) subjects.set(file, (made = makeSubject(file)));
  return made;
}

async function makeSubject(file: string): Promise<Subject> {
  const name = basename(file);
  const onnx = new Uint8Array(readFileSync(file));
  const { bytes: fp32, model } = await pack(onnx, { name });
  const samples = await samplesOf(name, model.graph);
  const { bytes: int8 } = await pack(onnx, { name, quantize: { samples: async () => samples } });
  return { onnx, samples, bytes: { fp32, int8 }, outputs: { fp32: await run(fp32, samples), int8: await run(int8, samples) } };
}

async function run(bytes: Uint8Array, samples: readonly Sample[]): Promise<Record<string, TensorData>[]> {
  const session = await wasmEngine(binaries()).session(readWafer(bytes).graph);
  try {
    return samples.map((sample) => session.run(sample));
  } finally {
    session.dispose();
  }
}

const LEVELS = ['core', 'compatibility'] as const;

let page: ApiPage<ModelCalls>;
let gpus: Record<(typeof LEVELS)[number], ApiPage<ModelCalls>>;
beforeAll(async () => {
  page = await openApiPage('test/models/models.page.ts');
  const [core, compatibility] = await Promise.all(
    LEVELS.map((level) => openApiPage<ModelCalls>('test/models/models.page.ts', gpuFlags(level))),
  );
  gpus = { core: core!, compatibility: compatibility! };
});
afterAll(() => Promise.all([page, ...Object.values(gpus ?? {})].map((one) => one?.close())));

for (const name of missing) test.skip(`models/${name}: is not here; WAFER_MODELS names its folder`, () => {});

for (const file of files) {
  const name = basename(file);
  const reason = SKIPS[name];
  if (reason) {
    test.skip(`models/${name}: ${reason}`, () => {});
    continue;
  }

  test(`models/${name}/fp32: agrees with onnxruntime`, async () => {
    const { onnx, samples, outputs } = await subject(file);
    const source = await loadSource(onnx);
    for (const [i, sample] of samples.entries()) {
      const want = await source.run(sample);
      const got = outputs.fp32[i]!;
      expect(Object.keys(got).sort()).toEqual([...want.keys()].sort());
      for (const [output, { data, shape }] of want) {
        expect(got[output]!.shape, output).toEqual(shape);
        const { beyond, max, at, sqnr } = compare(got[output]!.data, data, { abs: 1e-4, rel: 1e-3 });
        expect(beyond, `${output}: ${max} apart at ${at}, ${sqnr.toFixed(1)} dB`).toBe(0);
      }
    }
  });

  test(`models/${name}/int8: is small, and near the float graph`, async () => {
    const { onnx, bytes, outputs } = await subject(file);
    expect(bytes.int8.length / onnx.length).toBeLessThanOrEqual(LARGEST_SHARE);
    for (const output of Object.keys(outputs.fp32[0]!)) {
      const all = (precision: Precision) => outputs[precision].flatMap((run) => [...run[output]!.data]);
      const [got, want] = [all('int8'), all('fp32')];
      expect(got.every(Number.isFinite), `${output} is finite`).toBe(true);
      expect(compare(got, want, { abs: 0, rel: 0 }).sqnr, `${output}, dB`).toBeGreaterThan(leastSqnr(name));
    }
  });

  test(`models/${name}/chromium: gives the bytes that Node gives`, async () => {
    const { samples, bytes, outputs } = await subject(file);
    for (const precision of PRECISIONS) {
      const got = await page.call.runFile(toBase64(bytes[precision]), samples.map(sendAll));
      expect(got.thread).toBe('worker');
      expect(got.outputs).toHaveLength(samples.length);
      got.outputs.forEach((tensors, i) => {
        expect(differing(tensors, sendAll(outputs[precision][i]!)), `${precision}, sample ${i}`).toEqual([]);
      });
    }
  });

  test.each(LEVELS)(`models/${name}/webgpu %s: gives what WASM gives`, async (level) => {
    const { samples, bytes, outputs } = await subject(file);
    for (const precision of PRECISIONS) {
      const { rms } = gpuTolerance(readWafer(bytes[precision]).graph, 'f32');
      const got = await gpus[level].call.runFile(toBase64(bytes[precision]), samples.map(sendAll), level);
      expect(got.device).toContain(level);
      for (const [i, tensors] of got.outputs.entries())
        for (const [output, { data, shape }] of Object.entries(receiveAll(tensors))) {
          const want = outputs[precision][i]![output]!;
          expect(shape, output).toEqual(want.shape);
          const { beyond, max, at, sqnr } = compare(data, want.data, { abs: 1e-4, rel: 1e-3 });
          const off = `${precision}, ${output}: ${max} apart at ${at}, ${sqnr.toFixed(1)} dB`;
          if (rms) expect(sqnr, off).toBeGreaterThan(-20 * Math.log10(rms));
          else expect(beyond, off).toBe(0);
        }
    }
  });
}

/** Names of outputs that are not alike to the last bit; their bytes are too many to print. */
function differing(got: Readonly<Record<string, Sent>>, want: Readonly<Record<string, Sent>>): string[] {
  const names = new Set([...Object.keys(got), ...Object.keys(want)]);
  return [...names].filter((name) => !isDeepStrictEqual(got[name], want[name]));
}
