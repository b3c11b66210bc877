/** What steps pass on: one graph of floats that can be trained, and what was quantised of it, if anything was. */
import type { Graph } from '../../graph/ir';
import { declutter } from '../passes/index';
import type { QuantizeReport } from '../quantize/index';
import { folded } from '../train/program';

export interface State {
  /** Of floats; batch norms may be those of training. */
  readonly graph: Graph;
  readonly quantized?: Integers;
  /** Whether its weights are worth something. */
  readonly trained: boolean;
  /** What was done, a line a step. */
  readonly done: readonly string[];
}

export interface Integers {
  readonly graph: Graph;
  readonly report: QuantizeReport;
  /** What was done to quantise, in lines. */
  readonly done: readonly string[];
}

/** What the file says was done. */
export const linesOf = ({ done, quantized }: State): string[] => [...done, ...(quantized?.done ?? [])];

/** The floats as they are run. */
export const plainGraph = ({ graph }: Pick<State, 'graph'>): Graph => declutter(folded(graph));

/** What a file would hold. */
export const fileGraph = (state: State): Graph => state.quantized?.graph ?? plainGraph(state);
