/**
 * What a teacher computes on its way as something to learn: hints, the numbers at a node (FitNets, Romero et al. 2015), behind a product that
 * is trained with the model and then dropped where channels differ; or where attention lies (Zagoruyko & Komodakis 2017).
 */
import { nearest, WaferError } from '../../core/errors';
import { random } from '../../core/random';
import { type StaticShape, sameShape, shapeText } from '../../core/shape';
import { Builder, type Graph, type Output, type Value } from '../../graph/ir';
import type { Ref } from '../../ops/define';
import { seedOf } from '../data/batches';
import { copyInto } from './differentiate';
import type { LossSite } from './program';

export interface Attention {
  /** A node of the teacher, by its name. */
  from: string;
  /** A node of the model. */
  to: string;
  /** Times which it counts beside the rest of the loss. Default 1. */
  weight?: number;
}

export interface Hint extends Attention {
  /** Of the squares of differences, or 1 less the cosine of the angle between. Default `mse`. */
  loss?: 'mse' | 'cosine';
}

/** A teacher, and those of its nodes that have names from outside. */
export interface Hinting {
  readonly graph: Graph;
  readonly nodes: ReadonlySet<string>;
}

export interface HintOptions {
  hints?: readonly Hint[] | undefined;
  attention?: readonly Attention[] | undefined;
}

export interface Hinted {
  /** What is trained: the model, with what is compared as further outputs. */
  readonly graph: Graph;
  readonly teacher: Graph;
  /** Names of weights that are trained and then dropped. */
  readonly adapters: ReadonlySet<string>;
  /** What is added to the loss. */
  costs(site: LossSite): Ref[];
}

/** Both graphs have a free batch. Throws ARGUMENT for nodes that are not there, SHAPE for those that cannot be compared. */
export function hinted(student: Graph, { graph: teacher, nodes }: Hinting, options: HintOptions, seed: number): Hinted {
  const { hints = [], attention = [] } = options;
  const build = new Builder();
  const now = copyInto(build, student, new Map(student.inputs.map((x) => [x, build.input(x.name, x.type)])));
  const outputs = student.outputs.map(({ name, value }): Output => ({ name, value: now(value) }));
  const taught = [...teacher.outputs];
  const adapters = new Set<string>();
  const costs: ((site: LossSite) => Ref)[] = [];
  const all = [
    ...hints.map((hint) => ({ loss: 'mse' as const, ...hint })),
    ...attention.map((one) => ({ ...one, loss: 'attention' as const })),
  ];
  all.forEach(({ from, to, weight = 1, loss }, i) => {
    if (!(weight >= 0 && weight < 1e6)) throw new WaferError('ARGUMENT', `a weight of ${weight} makes no sense`);
    const its = valueAt(
      teacher.nodes.filter(({ name }) => nodes.has(name)),
      from,
      'the teacher',
    );
    let own = now(valueAt(student.nodes, to, 'the model'));
    const [wanted, given] = [rowShape(its), rowShape(own)];
    const isMap = loss === 'attention' && wanted.length === 3 && given.length === 3;
    const fits = isMap || (wanted.length >= (loss === 'attention' ? 2 : 1) && sameShape(wanted.slice(0, -1), given.slice(0, -1)));
    if (!fits)
      throw new WaferError(
        'SHAPE',
        `"${from}" of the teacher is ${shapeText(wanted)}, "${to}" of the model ${shapeText(given)}`,
        {
          hint: 'numbers are compared at the same places; attention compares images of any size',
        },
      );
    const [channels, width] = [wanted.at(-1)!, given.at(-1)!];
    const name = `hint${i}`;
    if (loss !== 'attention' && channels !== width) {
      const next = random(seedOf(seed, i, 0xada));
      const deviation = Math.sqrt(3 / width);
      const data = Float32Array.from({ length: channels * width }, () => deviation * (2 * next() - 1));
      const weights = build.constant(`${name}.weight`, { dtype: 'f32', shape: [channels, width] }, data);
      adapters.add(weights.name);
      own = build.node('gemm', name, [own, weights]);
    }
    outputs.push({ name, value: own });
    taught.push({ name, value: its });
    costs.push((site) => site.mul(site[loss](site.outputs.get(name)!, site.teacher(name)), weight));
  });
  return {
    graph: build.finish(outputs),
    teacher: { ...teacher, outputs: taught },
    adapters,
    costs: (site) => costs.map((cost) => cost(site)),
  };
}

/** Of one example. */
const rowShape = (x: Value): StaticShape => x.type.shape.slice(1) as StaticShape;

/** The first output of a node. */
function valueAt(nodes: Graph['nodes'], name: string, whose: string): Value {
  const node = nodes.find((one) => one.name === name);
  if (node) return node.outputs[0]!;
  const names = nodes.map((one) => one.name);
  const near = nearest(name, names);
  const some =
    names.length > LISTED ? `${names.slice(0, LISTED).join(', ')} and ${names.length - LISTED} more` : names.join(', ');
  throw new WaferError('ARGUMENT', `${whose} has no node "${name}"`, {
    hint: near ? `did you mean "${near}"?` : `its nodes are ${some}`,
  });
}

/** Names in a message. */
const LISTED = 12;
