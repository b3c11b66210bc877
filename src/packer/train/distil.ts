/**
 * Distillation (Hinton et al. 2015): a teacher says what is to be learnt beside the labels, or in place of them. Its views of an example are
 * fixed, computed once and kept, or the same as the model's, computed for every batch (the words are Beyer et al.'s, 2022).
 */
import { located, WaferError } from '../../core/errors';
import { elements, evaluateShape, type StaticShape, sameShape, shapeText } from '../../core/shape';
import { Builder, type Graph, type Value } from '../../graph/ir';
import { type BatchOptions, fitting, type Normalisation } from '../data/batches';
import { sizeOf } from '../data/dataset';
import { batched } from './batched';
import { copyInto, emitter } from './differentiate';
import { logitsOf, losses } from './losses';
import { batchBindings, folded, type LossFunction, type Teacher } from './program';
import { makeScoring, type Scoring } from './scores';

export interface DistilOptions {
  /** Takes what the model takes and gives what it gives; of its outputs the first counts. */
  teacher: Graph;
  /** How pictures become the teacher's input. Default: as they become the model's. */
  normalisation?: Normalisation | undefined;
  /** Part of the loss that is to be like the teacher, 0 to 1. Default 0.5; 1 needs no labels. */
  share?: number;
  /** By which logits are divided. Default 2. */
  temperature?: number;
  /** `kl` compares probabilities over the last axis, `mse` the logits themselves, for outputs that are no classes. Default `kl`. */
  loss?: 'kl' | 'mse';
  /**
   * `fixed`: the teacher is asked once for each example, not varied but for mirroring, which costs training nothing. `same`: it sees
   * each batch as the model sees it. Default: `fixed`, unless that is more than 512 MiB.
   */
  views?: 'fixed' | 'same';
}

const DISTIL = { share: 0.5, temperature: 2, loss: 'kl' } as const;

/** Bytes of fixed views that are kept without being asked for, and the most. */
const [MUCH, MOST] = [2 ** 29, 2 ** 32];

/** A teacher that fits. */
export interface Distillation {
  readonly teacher: Teacher;
  /** Of fixed views. */
  readonly teaching?: Scoring | undefined;
  /** The whole loss, of which `own` is what labels teach. */
  loss(own: LossFunction): LossFunction;
  /** What tells it apart from others. */
  readonly signature: string;
}

/** `graph` is what is trained, with a free batch. Throws ARGUMENT, SHAPE, UNSUPPORTED. */
export function distillation(graph: Graph, options: DistilOptions, batches: BatchOptions): Distillation {
  const { share, temperature, loss: kind } = { ...DISTIL, ...options };
  if (!(share >= 0 && share <= 1)) throw new WaferError('ARGUMENT', `a share of ${share} for the teacher makes no sense`);
  if (!(temperature > 0 && temperature < 1e3)) throw new WaferError('ARGUMENT', `a temperature of ${temperature} makes no sense`);
  const { set, augmentation } = batches;
  const teacher = located({ node: 'teacher' }, () => batched(options.teacher));
  const taught = teachingGraph(teacher, kind, temperature);
  const [given, wanted] = [shapeOf(taught), shapeOf(graph)];
  if (!sameShape(given, wanted))
    throw new WaferError('SHAPE', `the teacher gives ${shapeText(given)} for an example, the model ${shapeText(wanted)}`, {
      hint: 'it must tell the same classes apart',
    });
  const isMirrored = augmentation.flip && set.shape.length === 3;
  const bytes = 4 * sizeOf(set) * (isMirrored ? 2 : 1) * elements(given);
  const isWithin = (options.views ?? (bytes > MUCH ? 'same' : 'fixed')) === 'same';
  const [x] = graph.inputs;
  const normalisation = options.normalisation ?? batches.normalisation;
  let within = taught;
  let teaching: Scoring | undefined;
  if (isWithin) {
    const [own, its] = [x!, taught.inputs[0]!].map((input) => exampleShape(input)) as [StaticShape, StaticShape];
    if (!sameShape(own, its))
      throw new WaferError('SHAPE', `the teacher takes ${shapeText(its)}, the model ${shapeText(own)}`, {
        hint: 'it need not be the same where views are fixed',
      });
    within = renormalised(taught, batches, normalisation);
  } else {
    if (bytes > MOST)
      throw new WaferError('ARGUMENT', `what the teacher says of all examples is ${(bytes / 2 ** 30).toFixed(1)} GiB`, {
        hint: 'have it see the same views',
      });
    const [input] = taught.inputs;
    const how = located({ node: 'teacher' }, () => fitting(input!.name, exampleShape(input!), set));
    teaching = makeScoring(taught, { set, normalisation, ...how }, isMirrored);
  }
  return {
    teacher: { graph: within, isWithin },
    teaching,
    loss: (own) => (site) => {
      const { add, mul, kl, mse, logits } = site;
      if (share === 0) return own(site);
      const like = kind === 'kl' ? kl(logits, site.taught, temperature) : mse(logits, site.taught);
      return share === 1 ? like : add(mul(own(site), 1 - share), mul(like, share));
    },
    signature: JSON.stringify([share, temperature, kind, isWithin]),
  };
}

/** Of one example. */
const exampleShape = (x: Value): StaticShape => evaluateShape(x.type.shape, batchBindings(x, 1)).slice(1);

/** Of what a graph gives for one example. */
const shapeOf = (graph: Graph): StaticShape => logitsOf(graph.outputs[0]!.value).type.shape.slice(1) as StaticShape;

/** The teacher with what the loss takes as its only output: probabilities at the temperature, or logits. */
function teachingGraph(teacher: Graph, kind: 'kl' | 'mse', temperature: number): Graph {
  const build = new Builder();
  const plain = folded(teacher);
  const now = copyInto(build, plain, new Map(plain.inputs.map((x) => [x, build.input(x.name, x.type)])));
  const logits = now(logitsOf(plain.outputs[0]!.value));
  const { soft } = losses(emitter(build, () => 'taught'));
  return build.finish([{ name: 'taught', value: kind === 'kl' ? (soft(logits, temperature) as Value) : logits }]);
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
