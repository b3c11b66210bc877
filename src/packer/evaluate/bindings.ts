/** Sizes of free dimensions where nobody says them. */
import type { Bindings } from '../../core/dim';
import { evaluateShape } from '../../core/shape';
import type { Graph } from '../../graph/ir';

/** Sizes tried for free dimensions that are no batch: small pictures first, then stretches of sound. */
const FREE_SIZES = [32, 64, 96, 224, 320, 1280, 16000];

/** Batches of 1; all other free dimensions alike. */
export function candidateBindings(graph: Graph): Bindings[] {
  const batches = new Set<string>();
  const free = new Set<string>();
  for (const { type } of graph.inputs)
    type.shape.forEach((d, axis) => {
      if (typeof d === 'number') return;
      for (const { atoms } of d.terms)
        for (const atom of atoms) if ('symbol' in atom) (axis === 0 && type.shape.length > 1 ? batches : free).add(atom.symbol);
    });
  const sizes = [...free].every((s) => batches.has(s)) ? [1] : FREE_SIZES;
  return sizes.map((size) => new Map([...[...free].map((s) => [s, size] as const), ...[...batches].map((s) => [s, 1] as const)]));
}

/** The first sizes at which every value of the graph has elements; the last ones tried where there are none such. */
export function someBindings(graph: Graph): Bindings {
  const candidates = candidateBindings(graph);
  const values = graph.nodes.flatMap(({ outputs }) => outputs);
  const fits = (bindings: Bindings) => values.every(({ type }) => evaluateShape(type.shape, bindings).every((size) => size > 0));
  return candidates.find(fits) ?? candidates.at(-1)!;
}
