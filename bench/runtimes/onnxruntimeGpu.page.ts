/** onnxruntime-web on WebGPU. */
import * as ort from 'onnxruntime-web/webgpu';
import { loadWith } from './onnxruntime';
import { expose } from './page';

expose(loadWith(ort, 'webgpu'));
