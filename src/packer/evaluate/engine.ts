/** Running graphs while packing: the runtime's own kernels in Node, so that what is measured is what will run. */
import type { TypedArray } from '../../core/dtype';
import type { Graph, Node } from '../../graph/ir';

export interface Tensor {
  data: TypedArray;
  shape: readonly number[];
}

/** One set of inputs, by name. */
export type Sample = Readonly<Record<string, Tensor>>;

export interface EngineSession {
  run(inputs: Sample, options?: { observe?: (node: Node, outputs: readonly TypedArray[]) => void }): Record<string, Tensor>;
  dispose(): void;
}

export interface Engine {
  session(graph: Graph): Promise<EngineSession>;
}
