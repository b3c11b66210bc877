/** Running graphs while packing: the runtime's own kernels in Node, so that what is measured is what will run. */
import type { Bindings } from '../../core/dim';
import type { Graph } from '../../graph/ir';
import { bindShapes } from '../../runtime/bind';
import { Session, type TensorInput } from '../../runtime/session';
import { type Binaries, WasmDevice } from '../../runtime/wasm/device';

/** One set of inputs, by name. */
export type Sample = Readonly<Record<string, TensorInput>>;

export interface Engine {
  /** A session of its own for `graph`; the caller disposes of it. */
  session(graph: Graph): Promise<Session>;
}

/** An engine on the base build, which computes the same bits everywhere (Node 20's relaxed SIMD does not). */
export const wasmEngine = (binaries: Binaries): Engine => ({
  session: async (graph) => new Session(graph, await WasmDevice.create(binaries, 'base')),
});

/** The free dimensions that a sample has. Throws SHAPE when it does not fit the graph's inputs. */
export const bindingsOf = (graph: Graph, sample: Sample): Bindings =>
  bindShapes(graph.inputs.map(({ name, type }) => ({ name, declared: type.shape, given: [...sample[name]!.shape] })));
