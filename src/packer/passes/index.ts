/** Declutter: from what an exporter wrote to the least graph that computes the same. */
import type { Graph } from '../../graph/ir';
import { untilStable } from '../../graph/rewrite';
import { fold } from './fold';
import { fuse } from './fuse';
import { settleMoves, sinkTransposes } from './layout';
import { recognise } from './patterns';

/** Rounds after which a graph that still changes is left as it is. */
const ROUNDS = 60;

/** Folds, recognises and fuses to a fixed point. The result computes the same up to f32 rounding. */
export function declutter(graph: Graph): Graph {
  const still = untilStable(graph, ROUNDS, (g) => fuse(sinkTransposes(recognise(fold(g)))));
  return untilStable(still, ROUNDS, (g) => fuse(fold(settleMoves(g))));
}
