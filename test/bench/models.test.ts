/** Which files of `npm run bench` a name means. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { findModel, modelFolders } from '../../bench/models';

const folder = mkdtempSync(join(tmpdir(), 'wafer-bench-'));
const at = (name: string) => join(folder, name);
for (const name of ['net.onnx', 'net.tflite', 'net_int8.tflite', 'other_int8.onnx']) writeFileSync(at(name), '');
afterAll(() => rmSync(folder, { recursive: true }));

test('bench models: a float name has its files in every format', async () => {
  const peers = { onnx: { path: at('net.onnx'), precision: 'fp32' }, tflite: { path: at('net.tflite'), precision: 'fp32' } };
  expect(await findModel('net', [folder])).toMatchObject({ name: 'net', precision: 'fp32', source: at('net.onnx'), peers });
});

test('bench models: an int8 name is packed from the float model, and peers without int8 run the float one', async () => {
  const peers = { onnx: { path: at('net.onnx'), precision: 'fp32' }, tflite: { path: at('net_int8.tflite'), precision: 'int8' } };
  const found = await findModel('net_int8', [folder]);
  expect(found).toMatchObject({ name: 'net_int8', precision: 'int8', source: at('net.onnx'), peers });
});

test('bench models: an int8 name without a float model is packed from its own file', async () => {
  const found = await findModel('other_int8', [folder]);
  expect(found).toMatchObject({ source: at('other_int8.onnx'), peers: { onnx: { precision: 'int8' } } });
  expect(found.peers.tflite).toBeUndefined();
});

test('bench models: a path is looked up in its own folder', async () => {
  expect(await findModel(at('net_int8.onnx'), [])).toEqual(await findModel('net_int8', [folder]));
  await expect(findModel(at('ppocr_det.onnx'), [])).rejects.toMatchObject({ code: 'NOT_FOUND' });
});

test('bench models: packages have theirs, with sizes', async () => {
  expect(await findModel('ppocr_rec_int8', [])).toMatchObject({ precision: 'int8', sizes: { N: 1, W: 320 } });
});

test('bench models: what is not there is said, with what may be meant', async () => {
  await expect(findModel('ppocr_dett', [])).rejects.toMatchObject({ code: 'NOT_FOUND', hint: 'did you mean "ppocr_det"?' });
  await expect(findModel('mobilenet_v2', [])).rejects.toThrow(/hint: set WAFER_MODELS/);
});

test('bench models: folders are several, and must be there', () => {
  expect(modelFolders([folder, folder].join(delimiter))).toEqual([folder, folder]);
  expect(modelFolders(undefined)).toEqual([]);
  expect(() => modelFolders(at('missing'))).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }));
});
