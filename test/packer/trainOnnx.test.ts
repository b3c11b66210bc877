/** Graphs in training as ONNX: forward and backward of every case, computed by onnxruntime, against the references in doubles. */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import { runReference } from '../../src/packer/evaluate/reference';
import { meaningOf } from '../../src/packer/train/kinds';
import { toOnnx } from '../../src/packer/train/onnx';
import { differentiateCase, gradientCases } from '../support/gradients';

/** onnxruntime divides by zero in reductions of nothing, and refuses indices that are out of range. */
const cases = gradientCases().filter(
  ({ address, graph, inputs }) =>
    [...inputs.keys(), ...graph.outputs.map(({ value }) => value)].every(({ type }) => !type.shape.includes(0)) &&
    !address.startsWith('gather/out of range'),
);

describe('training graphs in onnxruntime', () => {
  for (const each of cases)
    test(each.address, async () => {
      const { graph, feeds } = differentiateCase(each);
      const want = runReference(graph, feeds, (op) => meaningOf(op).reference);
      const session = await InferenceSession.create(toOnnx(graph), { logSeverityLevel: 3, intraOpNumThreads: 1 });
      const given = Object.fromEntries(graph.inputs.map(({ name }) => [name, tensorOf(feeds.get(name)!)]));
      const got = await session.run(given);
      graph.outputs.forEach(({ name, value }, i) => {
        const [y, z] = [got[`y${i}`]!.data as Float32Array, want.get(value)!.data];
        const size = z.reduce((most, v) => Math.max(most, Math.abs(v)), 1);
        const far = [...z].flatMap((w, k) => (Math.abs(y[k]! - w) <= 1e-4 * size ? [] : [`${k}: ${y[k]} for ${w}`]));
        expect(far.slice(0, 3), `${far.length} of ${z.length} of ${name}`).toEqual([]);
      });
      await session.release();
    });
});

function tensorOf({ type, data }: { type: { dtype: string; shape: readonly number[] }; data: Float64Array }): Tensor {
  if (type.dtype === 'i32') return new Tensor('int32', Int32Array.from(data), type.shape);
  if (type.dtype === 'bool') return new Tensor('bool', Uint8Array.from(data), type.shape);
  return new Tensor('float32', Float32Array.from(data), type.shape);
}
