/** The OCR networks under onnxruntime-node: what Wafer's readings are held against. Also pictures from PNG files. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { PNG } from 'pngjs';
import type { Picture } from '../../demo/ocr/picture';
import type { Models, Network } from '../../demo/ocr/read';
import { recognizerLabels } from '../../demo/ocr/recognize';
