/** `wafer run`: one run in Node, tensors and pictures in, .npy out. */
import { join } from 'node:path';
import { Command } from 'commander';
import { WaferError } from '../core/errors';
import { shapeText } from '../core/shape';
import { wasmEngine } from '../packer/evaluate/engine';
import { writeNpy } from '../packer/npy';
import type { TensorData } from '../runtime/session';
import { binaries } from '../runtime/wasm/binaries';
import { named, positiveInt, readModel, writeBytes } from './files';
import { imageOptions } from './images';
import { type InputFlags, readInputs } from './tensors';
import { print, printJson, printTable } from './terminal';

interface Flags extends InputFlags {
  output?: string;
  top: number;
  json?: boolean;
}

export const runCommand = (): Command =>
  imageOptions(
    new Command('run')
      .description('run a .wafer file once')
      .argument('<file.wafer>')
      .option('--input <name=file.npy>', 'an input tensor (repeat for each)', named, {})
      .option('--image <file>', 'a PNG or JPEG picture as the only input')
      .option('--output <folder>', 'write each output there, as NAME.npy')
      .option('--top <n>', 'how many classes to show', positiveInt, 5),
  )
    .addHelpText(
      'after',
      `
Examples:
  wafer run mobilenet.wafer --image cat.jpg
  wafer run detector.wafer --input x=picture.npy --output results/`,
    )
    .action(runFile);

async function runFile(path: string, flags: Flags): Promise<void> {
  const { model } = await readModel(path);
  if (!flags.image && Object.keys(flags.input).length === 0)
    throw new WaferError('ARGUMENT', 'nothing to run the model on', {
      hint: `inputs: ${model.graph.inputs.map((x) => `--input ${x.name}=FILE.npy ${shapeText(x.type.shape)}`).join(', ')}`,
    });
  const sample = await readInputs(model, flags);
  const session = await wasmEngine(binaries()).session(model.graph);
  const start = performance.now();
  const outputs = session.run(sample);
  const ms = performance.now() - start;
  session.dispose();
  const written: Record<string, string> = {};
  if (flags.output)
    for (const [name, tensor] of Object.entries(outputs)) {
      const path = join(flags.output, `${fileName(name)}.npy`);
      const taken = Object.values(written).includes(path);
      written[name] = taken ? join(flags.output, `${fileName(name)}.${Object.keys(written).length}.npy`) : path;
      await writeBytes(written[name]!, writeNpy(tensor));
    }
  const summary = Object.entries(outputs).map(([name, tensor]) => ({ name, ...describe(tensor), file: written[name] }));
  const top = topClasses(Object.values(outputs)[0]!, model.labels, flags.top);
  if (flags.json) return printJson({ ms, outputs: summary, ...(top && { top }) });
  printTable([
    ['output', 'type', 'min', 'max', 'mean', 'file'],
    ...summary.map((o) => [o.name, `${o.dtype}${shapeText(o.shape)}`, o.min, o.max, o.mean, o.file ?? '']),
  ]);
  for (const { label, score } of top ?? []) print(`${score.toFixed(4)}  ${label}`);
}

/** Output names may hold what file names may not. */
const fileName = (name: string): string => name.replace(/[^\w.-]+/g, '_').replace(/^\.+/, '_');

const short = (v: number): number => Number(v.toPrecision(5));

function describe({ dtype, shape, data }: TensorData) {
  let [min, max, sum] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0];
  for (const v of data) [min, max, sum] = [Math.min(min, v), Math.max(max, v), sum + v];
  return { dtype, shape, min: short(min), max: short(max), mean: short(sum / data.length) };
}

/** The best classes of a vector that has a label for each element. */
function topClasses({ data }: TensorData, labels: readonly string[] | undefined, count: number) {
  if (!labels || data.length !== labels.length) return undefined;
  const order = [...data.keys()].sort((a, b) => data[b]! - data[a]!).slice(0, count);
  return order.map((i) => ({ index: i, label: labels[i]!, score: data[i]! }));
}
