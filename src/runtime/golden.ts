/** Golden runs on this device. */
import { WaferError } from '../core/errors';
import type { Precision } from '../core/half';
import { evaluateShape } from '../core/shape';
import { F32_TOLERANCE, firstOff, goldenInputs, type Inputs, type NamedTensor, type Tolerance } from '../format/golden';
import type { Golden } from '../format/model';
import type { Graph, Value } from '../graph/ir';
import type { Session, TensorData, TensorInput } from './session';

/** The inputs of a golden run as a session takes them. */
export function goldenSample(graph: Inputs, golden: Pick<Golden, 'seed' | 'bindings'>): Record<string, TensorInput> {
  const data = goldenInputs(graph, golden);
  const tensor = (name: string, shape: number[]) => ({ data: data[name]!, shape });
  return Object.fromEntries(
    graph.inputs.map(({ name, type }) => [name, tensor(name, evaluateShape(type.shape, golden.bindings))]),
  );
}

/** Outputs of a session as golden runs are compared with them. */
export const namedOutputs = (outputs: Readonly<Record<string, TensorData>>): NamedTensor[] =>
  Object.entries(outputs).map(([name, tensor]) => ({ name, ...tensor }));

/** What `session` makes of the inputs of a golden run. */
export const runGolden = (session: Session, golden: Pick<Golden, 'seed' | 'bindings'>): NamedTensor[] =>
  namedOutputs(session.run(goldenSample(session.graph, golden)));

/** Compares a GPU's outputs with WASM's for the same inputs. Throws MISMATCH. */
export function checkAnswer(
  outputs: Readonly<Record<string, TensorData>>,
  wanted: Readonly<Record<string, TensorData>>,
  tolerance: Tolerance,
): void {
  for (const [name, { data }] of Object.entries(wanted)) {
    const at = firstOff(outputs[name]!.data, data, tolerance);
    if (at !== undefined)
      throw new WaferError(
        'MISMATCH',
        `output "${name}" is ${outputs[name]!.data[at]} at element ${at} on the GPU, ${data[at]} on WASM`,
        {
          hint: "this GPU or its driver computes wrongly: use backend: 'wasm', and report it",
        },
      );
  }
}

/**
 * What a GPU's outputs may be off by. Floats that are quantised on the way are rounded to another level now and then, as their last
 * bits differ from those on WASM; what follows then differs by more than floats do, but little in all. So do floats of 16 bits, which inputs
 * become too.
 */
export function gpuTolerance(graph: Graph, precision: Precision): Tolerance {
  const isHalf = precision === 'f16';
  const isRounded = graph.nodes.some(({ op, inputs: [x] }) => op.name === 'quantize' && (isHalf || isComputed(x!)));
  if (isRounded) return { ...F32_TOLERANCE, rms: 0.1 };
  return isHalf ? { ...F32_TOLERANCE, rms: 0.05 } : F32_TOLERANCE;
}

/** Whether more was done to a value than to move inputs. */
function isComputed({ producer }: Value): boolean {
  if (!producer) return false;
  return !MOVES.has(producer.op.name) || producer.inputs.some((x) => x && isComputed(x));
}

const MOVES: ReadonlySet<string> = new Set(['transpose', 'reshape', 'slice', 'concat', 'pad', 'expand', 'gather']);
