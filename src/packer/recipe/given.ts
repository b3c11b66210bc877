/** A model as it was read, made ready for its examples. */
import { isStatic } from '../../core/dim';
import { WaferError } from '../../core/errors';
import { type Graph, nodeText } from '../../graph/ir';
import { type Normalisation, normalisationOf, statisticsOf } from '../data/batches';
import type { PictureShape } from '../data/load';
import { batched, fitted } from '../train/batched';
import type { Uses } from '../train/file';
import { normalised } from '../train/normalised';
import type { RecipeData } from './data';
import type { Given } from './run';

export interface ReadModel {
  readonly graph: Graph;
  /** Whether its weights are drawn. */
  readonly isNew?: boolean | undefined;
  /** How pictures become its input, where that is known. */
  readonly normalisation?: Normalisation | undefined;
  readonly uses?: Uses | undefined;
}

/** What images are scaled to, where a model takes pictures of one size. */
export function picturesOf({ inputs: [x] }: Graph): PictureShape | undefined {
  const [, ...sizes] = x?.type.shape ?? [];
  if (sizes.length !== 3 || !sizes.every(isStatic)) return undefined;
  const [a, b, c] = sizes as [number, number, number];
  const isPlanes = (d: number) => d === 1 || d === 3;
  return isPlanes(c) ? [a, b, c] : isPlanes(a) ? [b, c, a] : undefined;
}

/** Numbers that are no bytes are normalised in a new model itself; a model that says how pictures become its input is believed. */
export function givenModel(read: ReadModel, data: RecipeData, source: Given['source']): Given {
  const levels = read.graph.nodes.find(({ outputs }) => outputs.some(({ type }) => type.dtype === 'i8'));
  if (levels)
    throw new WaferError('UNSUPPORTED', 'the model computes in integers already', {
      hint: 'compress the model of floats that it was made of',
      node: nodeText(levels),
    });
  const isTable = data.train.data instanceof Float32Array;
  const graph = batched(isTable && read.isNew ? normalised(read.graph, statisticsOf(data.train)) : read.graph);
  const normalisation = (isTable ? undefined : read.normalisation) ?? normalisationOf(data.train);
  const [x] = graph.inputs;
  if (!x || graph.inputs.length > 1 || x.type.dtype !== 'f32')
    throw new WaferError(
      'UNSUPPORTED',
      `recipes take models with one input of floats, this one has ${graph.inputs.length} inputs`,
    );
  const { graph: sized, channelsFirst } = fitted(graph, data.train);
  return { graph: sized, isNew: Boolean(read.isNew), source, form: { normalisation, channelsFirst }, uses: read.uses ?? {} };
}
