/** `wafer inspect`: everything that a .wafer file says, and what follows from it. */
import { Command } from 'commander';
import { WaferError } from '../core/errors';
import { describeBlob } from '../format/describe';
import { HEADER_BYTES } from '../format/layout';
import type { WaferModel } from '../format/model';
import { readWhole } from '../format/reader';
import type { Section } from '../format/sections';
import type { Blob } from '../format/tensors';
import type { Node } from '../graph/ir';
import { printGraph, tensorText } from '../graph/print';
import { countMacs } from '../packer/evaluate/cost';
import { makePlan } from '../runtime/plan';
import { readModel, size } from './files';
import { bindingsOf, drawInputs } from './tensors';
import { bytesText, print, printJson, printTable } from './terminal';

interface Flags {
  graph?: boolean;
  size: Record<string, number>;
  json?: boolean;
}

export const inspectCommand = (): Command =>
  new Command('inspect')
    .description('show what a .wafer file holds: sections, operators, shapes, work, memory, where it is from')
    .argument('<file.wafer>')
    .option('--graph', 'print the graph, a node a line')
    .option('--size <name=n>', 'size of a free dimension for work and memory (repeat for each)', size, {})
    .addHelpText(
      'after',
      '\nExamples:\n  wafer inspect model.wafer\n  wafer inspect detector.wafer --size H=640 --size W=640 --graph',
    )
    .action(inspectFile);

async function inspectFile(path: string, flags: Flags): Promise<void> {
  const { model, bytes } = await readModel(path);
  const { graph, provenance, labels, images, postprocessing, goldens } = model;
  const reader = readWhole(bytes);
  const sections = reader.sections.map((s) => ({ section: s.name ?? s.tag, offset: s.offset, bytes: s.bytes }));
  const head = headBytes(reader.sections);
  const work = workAt(model, flags.size);
  const operators = operatorTable(graph.nodes, work?.macs);
  const weights = weightTable(reader.blobs, bytes);
  const described = {
    file: path,
    bytes: bytes.length,
    inputs: graph.inputs.map((x) => ({ name: x.name, type: tensorText(x.type) })),
    outputs: graph.outputs.map((o) => ({ name: o.name, type: tensorText(o.value.type) })),
    sections,
    ...(head && { head }),
    operators,
    weights,
    ...(work && { work: work.summary }),
    float: floatReasons(model),
    provenance,
    ...(labels && { labels: labels.length }),
    ...(images && { images }),
    ...(postprocessing && { postprocessing }),
    goldens: goldens.map(({ seed, bindings }) => ({ seed, bindings })),
  };
  if (flags.json) return printJson(flags.graph ? { ...described, graph: printGraph(graph).trimEnd().split('\n') } : described);
  print(`${path}: ${bytesText(bytes.length)}, ${provenance.packer}`);
  for (const { name, type } of described.inputs) print(`  input   ${name} ${type}`);
  for (const { name, type } of described.outputs) print(`  output  ${name} ${type}`);
  print();
  printTable([['section', 'bytes'], ...sections.map((s) => [s.section, s.bytes])]);
  if (head) print(`  all but weights are packed into ${bytesText(head.packed)}`);
  print();
  printTable([
    ['weights', 'stored as', 'contents', 'elements', 'bytes', 'bits each'],
    ...weights.map((w) => [w.dtype, w.encoding, w.contents, w.elements, w.bytes, w.bits.toFixed(2)]),
  ]);
  print();
  printTable([['operator', 'nodes', 'int8', 'MACs'], ...operators.map((o) => [o.op, o.nodes, o.int8, o.macs])]);
  print();
  if (work) {
    const { sizes, macs, arenaBytes, residentBytes } = work.summary;
    const at = Object.entries(sizes).map(([name, n]) => `${name}=${n}`);
    print(
      `work and memory${at.length ? ` at ${at.join(' ')}` : ''}: ${(macs / 1e6).toFixed(1)} MMACs, activations ${bytesText(arenaBytes)}, weights ${bytesText(residentBytes)}`,
    );
  } else print('work and memory: give --size for the free dimensions');
  for (const [why, nodes] of Object.entries(described.float)) print(`in float, ${why}: ${nodes.join(', ')}`);
  print(`from ${provenance.source.name}, ${bytesText(provenance.source.bytes)}, SHA-256 ${provenance.source.sha256}`);
  print(`made by: ${provenance.recipe.filter((step) => !step.startsWith(FLOAT)).join('; ')}`);
  for (const [name, value] of Object.entries(provenance.metrics)) print(`  ${name} ${value}`);
  for (const x of images ?? [])
    print(`pictures: input ${x.input}, ${x.layout}, ${x.channels}, (pixel - [${x.mean}]) * [${x.scale}]`);
  if (labels) print(`labels: ${labels.length}, from "${labels[0]}" to "${labels.at(-1)}"`);
  if (postprocessing) print(`outputs are read as: ${postprocessing.kind}`);
  print(`golden runs: ${goldens.length}`);
  if (flags.graph) print(`\n${printGraph(graph).trimEnd()}`);
}

/** MACs and planned bytes; undefined when a free dimension has no size. */
function workAt(model: WaferModel, sizes: Readonly<Record<string, number>>) {
  try {
    const bindings = bindingsOf(model, drawInputs(model, sizes));
    const macs = countMacs(model.graph, bindings);
    const plan = makePlan(model.graph, bindings, { dot: 'i16', residents: new Map(), residentBytes: 0, guard: false });
    const { arenaBytes, residentBytes } = plan;
    const total = [...macs.values()].reduce((a, b) => a + b, 0);
    return { macs, summary: { sizes: Object.fromEntries(bindings), macs: total, arenaBytes, residentBytes } };
  } catch (error) {
    if (error instanceof WaferError && error.code === 'ARGUMENT' && Object.keys(sizes).length === 0) return undefined;
    throw error;
  }
}

const isInteger = (node: Node): boolean => [...node.inputs, ...node.outputs].some((x) => x?.type.dtype === 'i8');

function operatorTable(nodes: readonly Node[], macs: ReadonlyMap<Node, number> | undefined) {
  const rows = new Map<string, { op: string; nodes: number; int8: number; macs: number }>();
  for (const node of nodes) {
    const row = rows.get(node.op.name) ?? { op: node.op.name, nodes: 0, int8: 0, macs: 0 };
    rows.set(node.op.name, row);
    row.nodes++;
    if (isInteger(node)) row.int8++;
    row.macs += macs?.get(node) ?? 0;
  }
  return [...rows.values()].sort((a, b) => b.nodes - a.nodes);
}

/** What the head takes, when it is packed. */
function headBytes(sections: readonly Section[]) {
  const plain = sections.reduce((n, s) => n + (s.name === 'weights' ? 0 : s.bytes), 0);
  const packed = sections.find((s) => s.name === 'weights')!.offset - HEADER_BYTES;
  return packed < plain ? { plain, packed } : undefined;
}

/** Contents of constants by how they are stored, the largest first; contents that several constants share count once. */
function weightTable(blobs: readonly Blob[], file: Uint8Array) {
  const rows = new Map<string, { dtype: string; encoding: string; contents: number; elements: number; bytes: number }>();
  for (const blob of blobs) {
    const { dtype, elements, bytes } = blob;
    const encoding = describeBlob(blob, file);
    const row = rows.get(`${dtype} ${encoding}`) ?? { dtype, encoding, contents: 0, elements: 0, bytes: 0 };
    rows.set(`${dtype} ${encoding}`, row);
    row.contents++;
    row.elements += elements;
    row.bytes += bytes;
  }
  const all = [...rows.values()].map((row) => ({ ...row, bits: row.elements ? (8 * row.bytes) / row.elements : 0 }));
  return all.sort((a, b) => b.bytes - a.bytes);
}

const FLOAT = 'float ';

/** Nodes of an int8 file that compute in float, by the reason that the packer wrote down. */
function floatReasons({ provenance }: WaferModel): Record<string, string[]> {
  const reasons: Record<string, string[]> = {};
  for (const step of provenance.recipe) {
    const match = /^float (.*?): (.*)$/.exec(step);
    if (match) (reasons[match[2]!] ??= []).push(match[1]!);
  }
  return reasons;
}
