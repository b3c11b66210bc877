/** A run as a page: what the model was and became, what each step did, and how numbers are spread. */
import { version } from '../../../package.json';
import { readWafer } from '../../format/reader';
import { binaries } from '../../runtime/wasm/binaries';
import { type LabelledSample, labelledSamples } from '../data/samples';
import { type Sample, wasmEngine } from '../evaluate/engine';
import type { QuantizeReport } from '../quantize/index';
import { histogramsOf, type ReportFigures, reportHtml, type StepReport, storageOf, type TrainingCurve } from '../report/index';
import type { EpochReport } from '../train/checkpoint';
import type { RecipeData } from './data';
import type { Compressed, Given, StepFigures, StepRecord } from './run';

/** Examples whose runs are looked into. */
const LOOKED_INTO = 16;

export interface PageNames {
  output: string;
  /** What made it. */
  command: string;
}

/** HTML, one file. */
export async function compressedPage(made: Compressed, model: Given, data: RecipeData, names: PageNames): Promise<string> {
  const { start, best, startBytes, bytes, steps, test, counts, unmet, pareto } = made;
  const { source } = model;
  const files = [
    { name: source.name, file: startBytes, figures: start },
    { name: names.output, file: bytes, figures: best },
  ];
  const samples: Sample[] = labelledSamples(data.val, model.graph.inputs[0]!, model.form, LOOKED_INTO).map(
    ({ sample }: LabelledSample) => sample,
  );
  const histograms = [];
  for (const { name, file } of files)
    histograms.push(await histogramsOf(name, readWafer(file).graph, samples, wasmEngine(binaries())));
  const figuresOf = (figures: StepFigures) => reportFigures(figures, counts);
  const sensitivity = steps.flatMap(({ step, outcome, report }) =>
    step === 'quantize' && outcome === 'kept' ? sensitivityOf(report as QuantizeReport) : [],
  );
  return reportHtml({
    title: `${source.name} made small`,
    summary: `${counts} ${test.best.toFixed(2)} % on ${test.examples} test examples, ${test.start.toFixed(2)} % before, by the kernels that pages run.${
      unmet.length ? ` The budget is not met: ${unmet.join('; ')}.` : ''
    }`,
    files: files.map(({ name, figures }) => ({ name, ...figuresOf(figures) })),
    steps: steps.map((record) => stepReport(record, figuresOf)),
    sensitivity: sensitivity.slice(-1)[0] ?? [],
    storage: files.map(({ name, file }) => storageOf(name, file)),
    histograms,
    training: steps.flatMap(trainingOf),
    facts: [
      ['Command', names.command],
      ...data.notes.map((note): [string, string] => ['Data', note]),
      [
        'Files worth having',
        pareto.map(({ file, bytes, accuracy }) => `${file}: ${bytes} bytes, ${accuracy.toFixed(2)} %`).join('; '),
      ],
      ['Made by', `wafer ${version}`],
    ],
  });
}

function reportFigures({ accuracy, bytes, macs, weights, ms }: StepFigures, counts: string): ReportFigures {
  const quality =
    counts === 'top-1' ? { top1: accuracy } : counts === 'same map' ? { iou: accuracy / 100 } : { agreement: accuracy };
  return { ...quality, bytes, macs, parameters: weights, ...(ms !== undefined && { ms }) };
}

function stepReport(
  { step, place, outcome, what, why, before, after, seconds }: StepRecord,
  figuresOf: (f: StepFigures) => ReportFigures,
): StepReport {
  return {
    ...{ name: `${place} ${step}`, what, kept: outcome === 'kept', outcome, seconds, before: figuresOf(before) },
    after: after ? figuresOf(after) : {},
    ...(why !== undefined && { why }),
  };
}

const sensitivityOf = ({ budget, layers }: QuantizeReport) =>
  budget
    ? [
        budget.sensitivity.map(({ layer, weights, choices }) => {
          const chosen = layers.find((one) => one.layer === layer)?.format;
          return { layer, weights, choices, ...(chosen && { chosen }) };
        }),
      ]
    : [];

function trainingOf({ step, place, report }: StepRecord): TrainingCurve[] {
  const history = (report as { history?: readonly EpochReport[] } | undefined)?.history;
  if (!history) return [];
  const epochs = history.map(({ epoch, loss, top1 }) => ({ epoch, loss, ...(top1 !== undefined && { top1: 100 * top1 }) }));
  return [{ name: `${place} ${step}`, epochs }];
}
