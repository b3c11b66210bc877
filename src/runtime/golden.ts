/** Golden runs on this device. */
import { evaluateShape } from '../core/shape';
import { goldenInputs, type Inputs, type NamedTensor } from '../format/golden';
import type { Golden } from '../format/model';
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
