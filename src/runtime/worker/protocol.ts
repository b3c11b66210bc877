/** What the page and the worker say to each other. Every call has a number and exactly one answer. */
import type { WaferError } from '../../core/errors';
import type { Code } from '../code';
import type { Description, EngineInputs, EngineOptions, ProfileOptions } from '../engine';
import type { Explanation, MemoryUse, NodeProfile, TensorData } from '../session';

/** The worker's methods: arguments and result of each. */
export interface Methods {
  /** Of the file whose chunks come, before and after. `code` is left out where the worker carries its own. */
  open: { args: [options: EngineOptions, code?: Code]; result: Description };
  run: { args: [inputs: EngineInputs]; result: Record<string, TensorData> };
  profile: { args: [inputs: EngineInputs, options: ProfileOptions]; result: NodeProfile[] };
  explain: { args: []; result: Explanation };
  memory: { args: []; result: MemoryUse };
}
export type Method = keyof Methods;

export interface Call<M extends Method = Method> {
  id: number;
  method: M;
  args: Methods[M]['args'];
  /** Buffers in `args` that the answer gives back, so that the next inputs need no new ones: making one takes longer than filling it. */
  lent: ArrayBuffer[];
}

/** The next bytes of the file that is being opened; null behind the last. They have no answer. */
export interface Chunk {
  chunk: Uint8Array | null;
}

/** The error as `WaferError.toJSON` gives it, or a bug's text. */
export type Failure = { wafer: ReturnType<WaferError['toJSON']> } | { bug: string };

/** The first message says that the worker's script runs. */
export type Hello = { hello: true };

/** The name of a Web Lock that is held for as long as the worker lives. */
export type Held = { lock: string };

/** `readsPictures`: see Engine. */
export type Answer = { id: number; lent: ArrayBuffer[]; readsPictures: boolean } & ({ result: unknown } | { failure: Failure });
