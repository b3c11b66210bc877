/** Tensors on their way between Node and a page, which say everything in JSON: bytes become base64, so that none changes. */
import { bytesOf, DTYPES, type DType, dtypeOf } from '../../src/core/dtype';
import type { TensorData, TensorInput } from '../../src/runtime/session';

export interface Sent {
  dtype: DType;
  shape: readonly number[];
  base64: string;
}

export const send = ({ data, shape }: TensorInput): Sent => ({ dtype: dtypeOf(data), shape, base64: toBase64(bytesOf(data)) });

export const receive = ({ dtype, shape, base64 }: Sent): TensorData => ({
  data: new DTYPES[dtype].array(fromBase64(base64).buffer),
  shape: [...shape],
  dtype,
});

export const sendAll = (tensors: Readonly<Record<string, TensorInput>>): Record<string, Sent> => mapped(tensors, send);
export const receiveAll = (tensors: Readonly<Record<string, Sent>>): Record<string, TensorData> => mapped(tensors, receive);

const mapped = <T, U>(record: Readonly<Record<string, T>>, f: (x: T) => U): Record<string, U> =>
  Object.fromEntries(Object.entries(record).map(([name, x]) => [name, f(x)]));

export function toBase64(bytes: Uint8Array): string {
  let text = '';
  const step = 1 << 15;
  for (let at = 0; at < bytes.length; at += step) text += String.fromCharCode(...bytes.subarray(at, at + step));
  return btoa(text);
}

export function fromBase64(base64: string): Uint8Array<ArrayBuffer> {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
