/** One-graph ONNX models run here and by onnxruntime, element by element. */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { expect } from 'vitest';
import { importOnnx } from '../../src/packer/import/onnx/import';
import { Session, type TensorInput } from '../../src/runtime/session';
import { type GraphText, onnxModel } from '../packer/onnx';
import { baseDevice } from './wasm';

export interface Fed {
  dims: readonly number[];
  /** `bool` goes with Uint8Array, `int64` with Int32Array; otherwise the array says the type. */
  values: Float32Array | Int32Array | Uint8Array;
  type?: 'bool' | 'int64';
}

/** Fails unless every output agrees: |got - want| <= tolerance * (1 + |want|), and equal shapes. */
export async function agree(
  text: GraphText,
  opset: number,
  inputs: Readonly<Record<string, Fed>>,
  tolerance = 2e-5,
): Promise<void> {
  const bytes = onnxModel(text, opset);
  const each = <T>(make: (x: Fed) => T) => Object.fromEntries(Object.entries(inputs).map(([name, x]) => [name, make(x)]));
  const reference = await InferenceSession.create(bytes, { logSeverityLevel: 3 });
  const want = await reference.run(each(foreign));
  const session = new Session(importOnnx(bytes).graph, await baseDevice(), { guard: true });
  const got = session.run(each((x): TensorInput => ({ data: x.values, shape: [...x.dims] })));
  for (const name of text.outputs) {
    const [y, z] = [got[name]!, want[name]!];
    expect(y.shape).toEqual(z.dims);
    const wanted = Array.from(z.data as ArrayLike<number | bigint>, Number);
    const far = wanted.flatMap((w, i) => {
      const g = y.data[i]!;
      return Object.is(g, w) || g === w || Math.abs(g - w) <= tolerance * (1 + Math.abs(w)) ? [] : [`${i}: ${g} for ${w}`];
    });
    expect(far.slice(0, 4), `${far.length} of ${wanted.length} elements of ${name}`).toEqual([]);
  }
}

function foreign({ values, dims, type }: Fed): Tensor {
  if (type === 'int64') return new Tensor('int64', BigInt64Array.from(values, BigInt), dims);
  if (type === 'bool') return new Tensor('bool', Uint8Array.from(values), dims);
  return values instanceof Float32Array
    ? new Tensor('float32', values, dims)
    : new Tensor('int32', Int32Array.from(values), dims);
}
