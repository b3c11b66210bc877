/** Graphs in training as ONNX: forward and backward of every case, computed by onnxruntime, against the references in doubles. */
import { describe, test } from 'vitest';
import { expectSameInOnnxruntime, gradientCases } from '../support/gradients';

/** onnxruntime divides by zero in reductions of nothing, and refuses indices that are out of range. */
const cases = gradientCases().filter(
  ({ address, graph, inputs }) =>
    [...inputs.keys(), ...graph.outputs.map(({ value }) => value)].every(({ type }) => !type.shape.includes(0)) &&
    !address.startsWith('gather/out of range'),
);

describe('training graphs in onnxruntime', () => {
  for (const each of cases) test(each.address, () => expectSameInOnnxruntime(each));
});
