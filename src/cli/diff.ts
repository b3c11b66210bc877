/** `wafer diff`: where does a file begin to compute something else than its source? */
import { Command } from 'commander';
import pc from 'picocolors';
import { diffModels } from '../packer/evaluate/diff';
import { wasmEngine } from '../packer/evaluate/engine';
import { binaries } from '../runtime/wasm/binaries';
import { anyNumber, named, nonNegative, readBytes, readModel, size } from './files';
import { imageOptions } from './images';
import { drawInputs, type InputFlags, readInputs } from './tensors';
import { print, printJson, printTable } from './terminal';

interface Flags extends InputFlags {
  size: Record<string, number>;
  rel: number;
  abs: number;
  sqnr?: number;
  json?: boolean;
}

/** What int8 values are held to where nothing is said. */
const INT8_SQNR = 10;

export const diffCommand = (): Command =>
  imageOptions(
    new Command('diff')
      .description('compare a .wafer file with its ONNX source, value by value (needs onnxruntime-node)')
      .argument('<source.onnx>')
      .argument('<file.wafer>')
      .option('--input <name=file.npy>', 'an input tensor (repeat for each; default: drawn from a seed)', named, {})
      .option('--image <file>', 'a PNG or JPEG picture as the only input')
      .option('--size <name=n>', 'size of a free dimension, for drawn inputs (repeat for each)', size, {})
      .option('--rel <x>', 'tolerance relative to the source', nonNegative, 1e-3)
      .option('--abs <x>', 'tolerance besides', nonNegative, 1e-4)
      .option('--sqnr <dB>', `signal to noise that int8 files are held to instead (default: ${INT8_SQNR})`, anyNumber),
  )
    .addHelpText(
      'after',
      `
Exits with 1 when a value diverges.

Examples:
  wafer diff model.onnx model.wafer
  wafer diff detector.onnx detector.wafer --image page.png --rel 1e-2`,
    )
    .action(diffFiles);

async function diffFiles(sourcePath: string, path: string, flags: Flags): Promise<void> {
  const onnx = await readBytes(sourcePath);
  const { model } = await readModel(path);
  const given = flags.image !== undefined || Object.keys(flags.input).length > 0;
  const sample = given ? await readInputs(model, flags) : drawInputs(model, flags.size);
  const quantized = model.graph.nodes.some((node) => node.outputs.some((y) => y.type.quant));
  const sqnr = flags.sqnr ?? (quantized ? INT8_SQNR : undefined);
  const values = await diffModels(onnx, model, sample, wasmEngine(binaries()), { rel: flags.rel, abs: flags.abs, sqnr });
  const first = values.find((v) => v.divergent);
  if (first) process.exitCode = 1;
  if (flags.json) return printJson({ equal: !first, first: first ?? null, values });
  printTable([
    ['', 'node', 'source', 'max error', 'of', 'SQNR dB', 'beyond'],
    ...values.map((v) => [
      v.divergent ? '✗' : '',
      v.node,
      v.source,
      Number(v.max.toPrecision(3)),
      Number(v.peak.toPrecision(3)),
      Number.isFinite(v.sqnr) ? Number(v.sqnr.toFixed(1)) : '∞',
      v.beyond,
    ]),
  ]);
  print();
  if (first) print(`${pc.red('diverges')} first at ${first.node}, value "${first.value}", "${first.source}" in the source`);
  else print(`${pc.green('agrees')}: ${values.length} values compared`);
}
