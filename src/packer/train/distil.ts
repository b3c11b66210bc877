/**
 * Distillation (Hinton et al. 2015): a teacher says what is to be learnt beside the labels, or in place of them. Its views of an example
 * are fixed, computed once and kept, or the same as the model's, computed for every batch (the words are Beyer et al.'s, 2022).
 */
import { located, WaferError } from '../../core/errors';
import { elements, type StaticShape, sameShape, shapeText } from '../../core/shape';
import { Builder, type Graph, type Value } from '../../graph/ir';
import type { BatchOptions, Normalisation } from '../data/batches';
import { type Dataset, isLabelled, sizeOf } from '../data/dataset';
import { batched, exampleShape, fitted } from './batched';
import { copyInto, emitter } from './differentiate';
import { type HintOptions, hinted } from './hints';
import { logitsOf, losses } from './losses';
import { folded, type LossFunction, type Teacher } from './program';
import { makeScoring, type Scoring, type ScoringOptions } from './scores';

export interface DistilOptions extends HintOptions {
  /** Takes what the model takes and gives what it gives; of its outputs the first counts. */
  teacher: Graph;
  /** How pictures become the teacher's input. Default: as they become the model's. */
  normalisation?: Normalisation | undefined;
  /** Part of the loss that is to be like the teacher, 0 to 1; what is not is left to labels. Default 0.5, without labels 1. */
  share?: number;
  /** By which logits are divided. Default 2. */
  temperature?: number;
  /** `kl` compares probabilities over the last axis, `mse` the outputs themselves, for those that are no classes. Default `kl`. */
  loss?: 'kl' | 'mse';
  /**
   * `fixed`: the teacher is asked once for each example, not varied but for mirroring, which costs training nothing. `same`: it sees
   * each batch as the model sees it. Default: `fixed`, unless that is more than 512 MiB or there are hints, which need `same`.
   */
  views?: 'fixed' | 'same';
}

/** Bytes of fixed views that are kept without being asked for, and the most. */
const [MUCH, MOST] = [2 ** 29, 2 ** 32];

/** The output that is to be learnt: probabilities at the temperature, or what is before a softmax that ends the teacher. */
const TAUGHT = 'taught';

/** A teacher that fits. */
export interface Distillation {
  /** What is trained: the model, and what hints are compared with. */
  readonly graph: Graph;
  readonly teacher: Teacher;
  /** Of fixed views. */
  readonly teaching?: Scoring | undefined;
  /** Names of weights that are trained and then dropped. */
  readonly adapters: ReadonlySet<string>;
  readonly kind: 'kl' | 'mse';
  /** The whole loss, of which `own` is what labels teach. */
  loss(own: LossFunction): LossFunction;
  /** What the teacher says of other examples. */
  answers(set: Dataset, options?: ScoringOptions): Scoring;
  /** What tells it apart from others. */
  readonly signature: unknown;
}

/** `graph` is what is trained, with a free batch. Throws ARGUMENT, SHAPE, UNSUPPORTED. */
export function distillation(graph: Graph, options: DistilOptions, batches: BatchOptions): Distillation {
  const { set, augmentation } = batches;
  const { share = isLabelled(set) ? 0.5 : 1, temperature = 2, loss: kind = 'kl', hints = [], attention = [] } = options;
  if (!(share >= 0 && share <= 1)) throw new WaferError('ARGUMENT', `a share of ${share} for the teacher makes no sense`);
  if (!(temperature > 0 && temperature < 1e3)) throw new WaferError('ARGUMENT', `a temperature of ${temperature} makes no sense`);
  const { graph: teacher, channelsFirst } = located({ node: 'teacher' }, () => fitted(batched(options.teacher), set));
  if (teacher.nodes.some(({ outputs }) => outputs.some(({ type }) => type.dtype === 'i8')))
    throw new WaferError('UNSUPPORTED', 'the teacher is quantised', { hint: 'take the file of floats that it was made from' });
  const taught = teachingGraph(teacher, kind, temperature);
  const [given, wanted] = [shapeOf(taught), shapeOf(graph)];
  if (!sameShape(given, wanted))
    throw new WaferError('SHAPE', `the teacher gives ${shapeText(given)} for an example, the model ${shapeText(wanted)}`, {
      hint: 'it must tell the same classes apart',
    });
  const mirrored = augmentation.flip && set.shape.length === 3;
  const bytes = 4 * sizeOf(set) * (mirrored ? 2 : 1) * elements(given);
  const isHinted = hints.length + attention.length > 0;
  const views = options.views ?? (isHinted || bytes > MUCH ? 'same' : 'fixed');
  if (isHinted && views === 'fixed')
    throw new WaferError('ARGUMENT', 'hints are of the very batch: the teacher must see the same views');
  const normalisation = options.normalisation ?? batches.normalisation;
  const made = { graph, teacher: taught, ...(views === 'same' && within()) };
  function within() {
    const [own, its] = [graph, teacher].map(({ inputs }) => exampleShape(inputs[0]!)) as [StaticShape, StaticShape];
    if (!sameShape(own, its))
      throw new WaferError('SHAPE', `the teacher takes ${shapeText(its)}, the model ${shapeText(own)}`, {
        hint: 'it need not be the same where views are fixed',
      });
    const nodes = new Set(teacher.nodes.map(({ name }) => name));
    return hinted(graph, { graph: renormalised(taught, batches, normalisation), nodes }, { hints, attention }, batches.seed);
  }
  if (views === 'fixed' && bytes > MOST)
    throw new WaferError('ARGUMENT', `what the teacher says of all examples is ${(bytes / 2 ** 30).toFixed(1)} GiB`, {
      hint: 'have it see the same views',
    });
  const answers = (of: Dataset, how?: ScoringOptions) => makeScoring(taught, { set: of, normalisation, channelsFirst }, how);
  return {
    graph: made.graph,
    teacher: { graph: made.teacher, isWithin: views === 'same' },
    teaching: views === 'fixed' && share > 0 ? answers(set, { mirrored }) : undefined,
    adapters: 'adapters' in made ? made.adapters : new Set(),
    kind,
    loss: (own) => (site) => {
      const { add, mul, kl, mse, logits } = site;
      const like = () => (kind === 'kl' ? kl(logits, site.teacher(TAUGHT), temperature) : mse(logits, site.teacher(TAUGHT)));
      const parts = [
        ...(share < 1 ? [mul(own(site), 1 - share)] : []),
        ...(share > 0 ? [mul(like(), share)] : []),
        ...('costs' in made ? made.costs(site) : []),
      ];
      return parts.reduce((sum, part) => add(sum, part));
    },
    answers,
    signature: [share, temperature, kind, views],
  };
}

/** Of what a graph gives for one example. */
const shapeOf = (graph: Graph): StaticShape => logitsOf(graph.outputs[0]!.value).type.shape.slice(1) as StaticShape;

/** The teacher with what is to be learnt as its only output. */
function teachingGraph(teacher: Graph, kind: 'kl' | 'mse', temperature: number): Graph {
  const build = new Builder();
  const plain = folded(teacher);
  const now = copyInto(build, plain, new Map(plain.inputs.map((x) => [x, build.input(x.name, x.type)])));
  const logits = now(logitsOf(plain.outputs[0]!.value));
  const { soft } = losses(emitter(build, () => TAUGHT));
  return build.finish([{ name: TAUGHT, value: kind === 'kl' ? (soft(logits, temperature) as Value) : logits }]);
}

/** The teacher for inputs that are normalised as the model's. */
function renormalised(teacher: Graph, { normalisation: own, channelsFirst }: BatchOptions, its: Normalisation): Graph {
  const planes = Math.max(own.mean.length, its.mean.length);
  const each = (list: readonly number[]) => Array.from({ length: planes }, (_, c) => list[c % list.length]!);
  const [mean, deviation, itsMean, itsDeviation] = [own.mean, own.deviation, its.mean, its.deviation].map(each);
  const factor = deviation!.map((d, c) => d / itsDeviation![c]!);
  const term = mean!.map((m, c) => (m - itsMean![c]!) / itsDeviation![c]!);
  if (factor.every((f) => f === 1) && term.every((t) => t === 0)) return teacher;
  const build = new Builder();
  const [x] = teacher.inputs;
  const shape = channelsFirst ? [planes, 1, 1] : [planes];
  const { mul, add } = losses(emitter(build, () => 'renormalised'));
  const given = build.input(x!.name, x!.type);
  const scaled = mul(given, build.numbers('renormalised.factor', 'f32', shape, factor));
  const y = add(scaled, build.numbers('renormalised.term', 'f32', shape, term)) as Value;
  const now = copyInto(build, teacher, new Map([[x!, y]]));
  return build.finish(teacher.outputs.map(({ name, value }) => ({ name, value: now(value) })));
}
