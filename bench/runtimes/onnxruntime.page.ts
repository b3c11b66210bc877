/** onnxruntime-web on the CPU. */
import * as ort from 'onnxruntime-web/wasm';
import { loadWith } from './onnxruntime';
import { expose } from './page';

expose(loadWith(ort, 'wasm'));
