/** Files that are opened while they arrive. */
import { expect, test, vi } from 'vitest';
import { symbol } from '../../src/core/dim';
import { readWafer } from '../../src/format/reader';
import { writeWafer } from '../../src/format/writer';
import { Builder, constantsOf, type Graph } from '../../src/graph/ir';
import { code } from '../../src/runtime/code';
import { Engine } from '../../src/runtime/engine';
import { Queue } from '../../src/runtime/queue';
import { Session } from '../../src/runtime/session';
import { binaries } from '../../src/runtime/wasm/binaries';
import { compileChosen } from '../../src/runtime/wasm/device';
import { modelOf } from '../format/models';
import { piecesOf } from '../format/pieces';
import { random } from '../support/random';
import { baseDevice } from '../support/wasm';

/** Products in f32 and i8 one behind the other, shared weights, uniform and varint-coded constants, one that is an output. */
function chain(rows: number | ReturnType<typeof symbol>): Graph {
  const next = random(5);
  const build = new Builder();
  const draw = (n: number, span: number) => Array.from({ length: n }, () => Math.fround((next() - 0.5) * span));
  const quant = { scale: 0.0625, zero: 3 };
  let x = build.input('x', { dtype: 'f32', shape: [rows, 24] });
  const w = build.numbers('w', 'f32', [24, 24], draw(24 * 24, 1));
  const bias = build.numbers('b', 'f32', [24], new Array(24).fill(0.25));
  for (let i = 0; i < 3; i++) x = build.node('gemm', `float${i}`, [x, w, bias]);
  x = build.node('quantize', 'levels', [x], { quant });
  for (let i = 0; i < 3; i++) {
    const levels = draw(24 * 24, 254).map(Math.round);
    const inputs = [
      build.numbers(`w${i}`, 'i8', [24, 24], levels),
      build.numbers(`b${i}`, 'i32', [24], draw(24, 1000).map(Math.round)),
      build.numbers(`m${i}`, 'i32', [24], new Array(24).fill(9000 + i)),
    ];
    x = build.node('gemm', `integer${i}`, [x, ...inputs], { quant, range: [-128, 127], shift: 22 });
  }
  return build.finish([
    { name: 'y', value: x },
    { name: 'w', value: w },
  ]);
}

const inputs = { x: { data: Float32Array.from({ length: 48 }, (_, i) => Math.sin(i)), shape: [2, 24] } };

const arriving = (pieces: readonly Uint8Array[]): Queue<Uint8Array> => {
  const queue = new Queue<Uint8Array>();
  for (const piece of pieces) queue.push(piece);
  queue.close();
  return queue;
};

test.each([2, symbol('N')])('engine/a file in pieces computes as one that was there, rows %o', async (rows) => {
  const file = writeWafer(modelOf(chain(rows)));
  const wanted = new Session(readWafer(file).graph, await baseDevice()).run(inputs);
  expect(new Set(wanted.y!.data).size).toBeGreaterThan(10);
  const next = random(9);
  for (let i = 0; i < 20; i++) {
    const engine = await Engine.open(arriving(piecesOf(file, next)), code());
    expect(engine.description.info.bytes).toBe(file.length);
    expect(await engine.run(inputs)).toEqual(wanted);
    expect(await engine.run(inputs)).toEqual(wanted);
  }
});

test('engine/plans wait for the elements that they need', async () => {
  const file = writeWafer(modelOf(chain(2)));
  const pieces = new Queue<Uint8Array>();
  let isOpen = false;
  const opening = Engine.open(pieces, code()).then((engine) => {
    isOpen = true;
    return engine;
  });
  for (let at = 0; at < file.length; at += 100) {
    pieces.push(file.slice(at, at + 100));
    await new Promise((resolve) => setImmediate(resolve));
    expect(isOpen).toBe(false);
  }
  pieces.close();
  expect((await (await opening).run(inputs)).y!.shape).toEqual([2, 24]);
});

test('engine/a build that was chosen elsewhere is neither probed nor compiled again', async () => {
  const chosen = await compileChosen(binaries());
  const [compile, validate] = [vi.spyOn(WebAssembly, 'compile'), vi.spyOn(WebAssembly, 'validate')];
  try {
    const why = 'another thread has found it';
    // As it is after it was sent: another array.
    const received = { ...chosen, why, binary: chosen.binary.slice() };
    const file = writeWafer(modelOf(chain(2)));
    const engine = await Engine.open(arriving([file]), { ...code(), kernels: received });
    expect(engine.explain()).toMatchObject({ build: chosen.build, dot: chosen.dot, why: expect.stringContaining(why) });
    expect([compile.mock.calls.length, validate.mock.calls.length]).toEqual([0, 0]);
    const own = await Engine.open(arriving([file]), code());
    expect(engine.run(inputs)).toEqual(own.run(inputs));
    expect(validate).toHaveBeenCalled();
  } finally {
    vi.restoreAllMocks();
  }
});

test('engine/what became resident is let go where all is planned', async () => {
  const held = async (rows: Parameters<typeof chain>[0]) => {
    const engine = await Engine.open(arriving([writeWafer(modelOf(chain(rows)))]), code());
    const { graph } = (engine as unknown as { model: { graph: Graph } }).model;
    return constantsOf(graph)
      .filter((x) => x.data!.length > 0)
      .map((x) => x.name);
  };
  // The output's alone.
  expect(await held(2)).toHaveLength(1);
  expect((await held(symbol('N'))).length).toBeGreaterThan(8);
});

test('engine/files that are cut short or end badly, and chunks that fail', async () => {
  const file = writeWafer(modelOf(chain(2)));
  const bad = file.slice();
  bad[file.length - 1]! ^= 1;
  const open = (...pieces: Uint8Array[]) => Engine.open(arriving(pieces), code());
  await expect(open(file.subarray(0, 300), file.subarray(300, -1))).rejects.toMatchObject({
    code: 'BAD_FILE',
    offset: file.length - 1,
  });
  await expect(open(bad.subarray(0, 300), bad.subarray(300))).rejects.toMatchObject({
    code: 'BAD_FILE',
    offset: expect.any(Number),
  });
  await expect(open(file, Uint8Array.of(0))).rejects.toMatchObject({ code: 'BAD_FILE', offset: file.length });
  await expect(open()).rejects.toMatchObject({ code: 'BAD_FILE', offset: 0 });
  const failing = new Queue<Uint8Array>();
  failing.push(file.subarray(0, 1000));
  failing.close({ error: new Error('gone') });
  await expect(Engine.open(failing, code())).rejects.toThrow('gone');
});
