/** Threads that share a run: the shared twin, the choice by measurement, and sessions with real threads of Node. */
import { afterEach, expect, test } from 'vitest';
import { Builder, type Graph } from '../../src/graph/ir';
import { defineOp } from '../../src/ops/define';
import { NullDevice } from '../../src/runtime/null/device';
import { Session, type TensorInput } from '../../src/runtime/session';
import { binaries } from '../../src/runtime/wasm/binaries';
import { Choice } from '../../src/runtime/wasm/choice';
import { WasmDevice } from '../../src/runtime/wasm/device';
import { type PoolOptions, type Spawn, threadLimit } from '../../src/runtime/wasm/pool';
import { sharedTwin } from '../../src/runtime/wasm/twin';
import { random } from '../support/random';
import { nodeSpawn, splitting } from '../support/threads';
import { baseDevice } from '../support/wasm';

const plainThreads = await nodeSpawn();
const lostThreads = await nodeSpawn('test/support/lostThread.ts');

const draw = random(11);
const drawn = (length: number) => Float32Array.from({ length }, () => 2 * draw() - 1);
const image = (height: number): Record<string, TensorInput> => ({
  x: { data: drawn(height * 40 * 16), shape: [1, height, 40, 16] },
});

/** Two convolutions with a border, which work in scratch, and an average over all pixels. */
function network(): Graph {
  const build = new Builder();
  let x = build.input('x', { dtype: 'f32', shape: [1, { terms: [{ coefficient: 1, atoms: [{ symbol: 'H' }] }] }, 40, 16] });
  for (const name of ['a', 'b']) {
    const w = build.constant(`${name}.w`, { dtype: 'f32', shape: [16, 3, 5, 16] }, drawn(16 * 15 * 16));
    x = build.node('conv', name, [x, w], { pads: [1, 2, 1, 2] });
  }
  return build.finish([{ name: 'y', value: build.node('reduce', 'y', [x], { fn: 'mean', axes: [1] }) }]);
}

const sessions: Session[] = [];
afterEach(() => {
  for (const session of sessions.splice(0)) session.dispose();
});

async function open(graph: Graph, count: number, spawn: Spawn, options: PoolOptions = { always: true }) {
  const device = await WasmDevice.create(binaries(), 'base', { limit: { count, why: 'the test', spawn }, ...options });
  const session = new Session(graph, device);
  sessions.push(session);
  return { session, device };
}

async function until(isTrue: () => boolean): Promise<void> {
  for (const end = performance.now() + 20_000; !isTrue(); await new Promise((resolve) => setTimeout(resolve, 5)))
    if (performance.now() > end) throw new Error('waited in vain');
}

test('threads/the shared twin is the same module over shared memory', async () => {
  for (const binary of Object.values(binaries())) {
    if (!WebAssembly.validate(binary)) continue;
    const twin = sharedTwin(binary);
    const module = new WebAssembly.Module(twin);
    expect(WebAssembly.Module.exports(module)).toEqual(WebAssembly.Module.exports(new WebAssembly.Module(binary)));
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 100, shared: true });
    expect(() => new WebAssembly.Instance(module, { env: { memory } })).not.toThrow();
    expect(() => new WebAssembly.Instance(module, { env: { memory: new WebAssembly.Memory({ initial: 1 }) } })).toThrow(
      WebAssembly.LinkError,
    );
  }
});

/** Time of `runs` runs that take what `times` says each way. */
function timeOf(choice: Choice, runs: number, times: { alone: number; shared: number }): number {
  let total = 0;
  for (let run = 0; run < runs; run++) {
    const isShared = choice.next();
    const ms = isShared ? times.shared : times.alone;
    choice.record(isShared, ms);
    total += ms;
  }
  return total;
}

test.each([
  [10, 5],
  [10, 9],
  [10, 11],
  [10, 30],
  [10, 200],
])('threads/of %d ms alone and %d ms shared, the quicker is used but for a few percent', (alone, shared) => {
  for (const startsShared of [true, false]) {
    const choice = new Choice(startsShared);
    timeOf(choice, 6, { alone, shared });
    expect(timeOf(choice, 2000, { alone, shared })).toBeLessThan(1.03 * 2000 * Math.min(alone, shared));
  }
});

test('threads/the choice follows what other processors have to do', () => {
  const choice = new Choice(true);
  timeOf(choice, 100, { alone: 10, shared: 6 });
  expect(choice.prefersShared).toBe(true);
  expect(timeOf(choice, 100, { alone: 10, shared: 15 })).toBeLessThan(1.1 * 100 * 10);
  expect(choice.prefersShared).toBe(false);
  timeOf(choice, 200, { alone: 10, shared: 6 });
  expect(choice.prefersShared).toBe(true);
});

test.each([2, 3])('threads/%d give the same bytes as one, for all shapes', async (count) => {
  const graph = network();
  const alone = new Session(graph, await baseDevice());
  const { session, device } = await open(graph, count, plainThreads);
  // Rows that the session's own thread computes.
  let own = 0;
  const kernel = device.kernel.bind(device);
  device.kernel = (name) => {
    const run = kernel(name);
    return (...args) => {
      own += args.at(-1)! - args.at(-2)!;
      run(...args);
    };
  };
  session.run(image(8));
  await until(() => device.threads.count === count);
  own = 0;
  let all = 0;
  for (let run = 0; run < 40; run++) {
    // The third shape packs nothing anew, the others come back to plans that threads know.
    const inputs = image([64, 33, 50][run % 3]!);
    all += 2 * inputs.x!.shape[1]!;
    expect(session.run(inputs)).toEqual(alone.run(inputs));
  }
  expect(own).toBeLessThan(all);
  expect(session.explain().threads).toEqual({ count, used: count, why: 'the test' });
  session.dispose();
  expect(device.threads).toEqual({ count: 1, why: 'the model was disposed of' });
});

test('threads/long runs start threads, and the quicker way is found by itself', async () => {
  const graph = network();
  const alone = new Session(graph, await baseDevice());
  const { session, device } = await open(graph, 2, plainThreads, {});
  expect(session.explain().threads).toMatchObject({ count: 1, used: 1, why: expect.stringContaining('no run') });
  const inputs = image(100);
  const want = alone.run(inputs);
  session.run(inputs);
  await until(() => device.threads.count === 2);
  for (let run = 0; run < 30; run++) expect(session.run(inputs)).toEqual(want);
});

test('threads/one that dies underway does not hold the run up', async () => {
  const graph = network();
  const { session, device } = await open(graph, 2, lostThreads, { always: true, patience: 300 });
  session.run(image(8));
  await until(() => device.threads.count === 2);
  const inputs = image(60);
  const want = new Session(graph, await baseDevice()).run(inputs);
  // It may be too late for a chunk of the first run.
  await until(() => {
    expect(session.run(inputs)).toEqual(want);
    return device.threads.count === 1;
  });
  expect(session.explain().threads).toEqual({ count: 1, used: 1, why: 'a thread failed in a run' });
});

test('threads/those that cannot be started are done without', async () => {
  const graph = network();
  const inputs = image(20);
  const want = new Session(graph, await baseDevice()).run(inputs);
  const refusals: Spawn[] = [
    () => {
      throw new Error('refused');
    },
    (failed) => {
      failed('refused');
      return { postMessage() {}, terminate() {} };
    },
  ];
  for (const spawn of refusals) {
    const { session } = await open(graph, 2, spawn);
    expect(session.run(inputs)).toEqual(want);
    expect(session.explain().threads).toEqual({ count: 1, used: 1, why: expect.stringContaining('refused') });
  }
});

test('threads/a disposed session ends them', async () => {
  let ended = 0;
  const { session, device } = await open(network(), 3, (failed) => {
    const { postMessage, terminate } = plainThreads(failed);
    const end = () => {
      ended++;
      terminate();
    };
    return { postMessage, terminate: end };
  });
  session.run(image(8));
  await until(() => device.threads.count === 3);
  session.dispose();
  expect(ended).toBe(2);
});

test('threads/where they are not to be had', () => {
  expect(threadLimit(1)).toEqual({ count: 1, why: '1 thread was asked for' });
  expect(threadLimit(4).why).toContain("page's own thread");
  expect(threadLimit('auto', plainThreads).why).toContain('not cross-origin isolated');
});

test('plan/scratch is one dispatch’s own', () => {
  const op = defineOp({
    name: 'pair',
    inputs: ['x'],
    attrs: {},
    infer: ([x]) => [{ ...x! }],
    wasm: ({ outputs: [y], scratch }) => {
      const block = scratch(16);
      return [1, 2].map(() => ({ kernel: 'f32_softmax' as const, args: [block, y!], rows: 1 }));
    },
  });
  const build = new Builder();
  const graph = build.finish([{ name: 'y', value: build.node(op, 'y', [build.input('x', { dtype: 'f32', shape: [4] })]) }]);
  const inputs = { x: { data: new Float32Array(4), shape: [4] } };
  expect(() => new Session(graph, new NullDevice('i16')).run(inputs)).toThrow('must be an intermediate');
});

test('plan/each thread has scratch of its own', async () => {
  const graph = network();
  const [device, own] = [await baseDevice(), [] as Set<number>[]];
  const { pool } = splitting(device);
  const session = new Session(
    graph,
    new Proxy(device, {
      get: (target, key) => {
        const share: NonNullable<typeof pool>['share'] = (calls) => {
          for (const { args } of calls) own.push(new Set(args(1).filter((arg, i) => arg !== args(0)[i])));
          return pool!.share(calls);
        };
        if (key === 'pool') return { size: 2, share };
        const value = Reflect.get(target, key, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    }),
  );
  session.run(image(8));
  expect(own.map((addresses) => addresses.size)).toEqual([1, 1, 0]);
});
