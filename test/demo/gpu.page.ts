/** The part of gpu.test.ts that runs in the page: the demo's pipeline over the public API, and a count of what is read back. */
import { type Network, readText, type Stage, stages } from '../../demo/ocr/read';
import { BitmapPicture, waferNetworks } from '../../demo/ocr/wafer';
import type * as Wafer from '../../src/index';
import { fromBase64 } from '../support/sent';

declare const wafer: typeof Wafer;

export interface GpuReading {
  texts: string[];
  /** Of the lines that stood on their heads. */
  turned: string[];
  /** Of the three models. */
  devices: string[];
  traffic: Traffic;
}

export interface Traffic {
  /** Bytes of all outputs. */
  outputs: number;
  /** Bytes of buffers that were mapped to be read. */
  buffers: number;
  /** Bytes of pixels that were asked for. */
  pixels: number;
  /** How often a picture was copied to a texture. */
  copies: number;
}

const none: Traffic = { outputs: 0, buffers: 0, pixels: 0, copies: 0 };
const traffic = { ...none };
watch();

/** From now on everything that goes from a GPU or a canvas to the page is counted. */
function watch(): void {
  const readable = new WeakSet<object>();
  spyOn(GPUBuffer, 'mapAsync', (buffer, [mode]) => mode === GPUMapMode.READ && readable.add(buffer));
  spyOn(GPUBuffer, 'getMappedRange', (buffer, _, range) => {
    if (readable.has(buffer)) traffic.buffers += (range as ArrayBuffer).byteLength;
  });
  for (const context of [CanvasRenderingContext2D, OffscreenCanvasRenderingContext2D])
    spyOn(context, 'getImageData', (_context, _area, pixels) => (traffic.pixels += (pixels as ImageData).data.byteLength));
  spyOn(GPUQueue, 'copyExternalImageToTexture', () => traffic.copies++);
}

function spyOn(type: { prototype: object }, name: string, see: (self: object, args: unknown[], result: unknown) => void): void {
  const methods = type.prototype as Record<string, (...args: unknown[]) => unknown>;
  const method = methods[name]!;
  methods[name] = function (...args) {
    const result = method.apply(this, args);
    see(this, args, result);
    return result;
  };
}

/** Reads a picture file with the three models, all in base64. Traffic is that of the reading, without loading. */
async function readWith(backend: 'wasm' | 'webgpu', files: Record<Stage, string>, file: string): Promise<GpuReading> {
  // Golden runs would read their outputs too.
  const options = { backend, worker: false, verify: 'off' } as const;
  const load = async (stage: Stage) => [stage, await wafer.load(fromBase64(files[stage]), options)] as const;
  const models = Object.fromEntries(await Promise.all(stages.map(load))) as Record<Stage, Wafer.Model>;
  const picture = new BitmapPicture(await createImageBitmap(new Blob([fromBase64(file)])));
  const networks = waferNetworks(models, backend === 'webgpu' ? picture.bitmap : undefined);
  const counted =
    (stage: Stage): Network =>
    async (view) => {
      const output = await networks[stage](view);
      traffic.outputs += output.data.byteLength;
      return output;
    };
  Object.assign(traffic, none);
  const { lines } = await readText(picture, {
    ...networks,
    ...{ detect: counted('detect'), classify: counted('classify'), recognize: counted('recognize') },
  });
  const seen = { ...traffic };
  const devices = await Promise.all(stages.map(async (stage) => (await models[stage].explain()).device));
  await Promise.all(stages.map((stage) => models[stage].dispose()));
  const textsOf = (some: typeof lines) => some.map(({ reading }) => reading.text);
  return { texts: textsOf(lines), turned: textsOf(lines.filter(({ turned }) => turned)), devices, traffic: seen };
}

const calls = { readWith };
export type GpuCalls = typeof calls;
Object.assign(globalThis, calls);
