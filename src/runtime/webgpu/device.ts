/**
 * A GPU as models use it: the adapter that was found, what it is good at, and pipelines, each compiled once however many
 * models and plans share it.
 */
import { WaferError } from '../../core/errors';
import type { GpuDispatch, GpuTraits } from '../../ops/define';
import { remembered } from './memory';
import { type Flags, type ShaderTexts, specialise } from './specialise';
import { COMPUTE_STAGE } from './usage';

export interface GpuOptions {
  /** The page's own device; otherwise one is asked for, and asked for again when it is lost. */
  device?: GPUDevice | undefined;
  /** `compatibility` asks for no more than OpenGL ES 3.1 has; for tests. Default: `core`, and that where core is not to be had. */
  featureLevel?: 'core' | 'compatibility' | undefined;
}

/** Asked for where the adapter has them. */
const FEATURES = ['shader-f16', 'timestamp-query'] as const;
/** Asked for as far as the adapter goes. */
const LIMITS = ['maxBufferSize', 'maxStorageBufferBindingSize'] as const;

/** What says how a dispatch's shader is compiled: dispatches for which it is equal share a pipeline. */
export const pipelineKey = ({ shader, flags = {} }: Pick<GpuDispatch, 'shader' | 'flags'>): string =>
  `${shader}${Object.entries(flags)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => ` ${name}=${value}`)
    .join('')}`;

/** The text that a dispatch's shader is compiled from. */
export const shaderText = ({ shader, flags }: Pick<GpuDispatch, 'shader' | 'flags'>, texts: ShaderTexts): string =>
  specialise(shader, texts, flags as Flags | undefined);

/** Whether there is WebGPU in this thread; a GPU behind it there need not be. */
export const hasWebgpu = (): boolean => typeof navigator === 'object' && 'gpu' in navigator && !!navigator.gpu;

/** Whether the browser's WGSL has products of packed bytes, whatever they become on the GPU. */
export const hasPackedDot = (): boolean => navigator.gpu.wgslLanguageFeatures.has('packed_4x8_integer_dot_product');

export class GpuDevice {
  private readonly pipelines = new Map<string, Promise<GPUComputePipeline>>();
  private readonly layouts = new Map<string, GPUBindGroupLayout>();
  /** Why the device is gone, once it is. */
  lost: string | undefined;
  /** Settles when it is. */
  readonly whenLost: Promise<void>;
  /** The first error since `takeError` that nobody waited for. */
  private error: GPUError | undefined;

  private constructor(
    readonly device: GPUDevice,
    /** In words, for `explain()`. */
    readonly name: string,
    readonly traits: GpuTraits,
    /** Whether `traits` were measured on this GPU, now or before. */
    readonly isTuned: boolean,
    readonly texts: ShaderTexts,
    private readonly isOurs: boolean,
  ) {
    this.whenLost = device.lost.then(({ reason, message }) => {
      this.lost = message || reason;
    });
    device.addEventListener('uncapturederror', (event) => {
      this.error ??= event.error;
    });
  }

  /** Throws NO_DEVICE where there is no WebGPU, no adapter, or none that gives a device. */
  static async create(texts: ShaderTexts, { device, featureLevel }: GpuOptions = {}): Promise<GpuDevice> {
    if (device) return GpuDevice.of(device, device.adapterInfo, texts, false);
    if (!hasWebgpu())
      throw new WaferError('NO_DEVICE', 'this browser has no WebGPU, or not on this page', {
        hint: "WebGPU needs a current browser and a secure page (https: or localhost); use backend: 'auto' or 'wasm'",
      });
    const levels = featureLevel ? [featureLevel] : (['core', 'compatibility'] as const);
    for (const level of levels) {
      const adapter = await navigator.gpu.requestAdapter({ featureLevel: level } as GPURequestAdapterOptions);
      if (!adapter) continue;
      const requiredFeatures = FEATURES.filter((name) => adapter.features.has(name));
      const requiredLimits = Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]]));
      try {
        const made = await adapter.requestDevice({ requiredFeatures, requiredLimits });
        return await GpuDevice.of(made, adapter.info, texts, true);
      } catch (error) {
        throw new WaferError('NO_DEVICE', `the GPU gives no device (${error})`, { hint: "use backend: 'auto' or 'wasm'" });
      }
    }
    throw new WaferError('NO_DEVICE', 'the browser finds no GPU that it lets pages use', {
      hint: "use backend: 'auto' or 'wasm'",
    });
  }

  private static async of(device: GPUDevice, info: GPUAdapterInfo, texts: ShaderTexts, isOurs: boolean): Promise<GpuDevice> {
    const isSoftware =
      info.isFallbackAdapter || /swiftshader|llvmpipe|basic render/i.test(`${info.description} ${info.architecture}`);
    const level = device.features.has('core-features-and-limits') ? 'core' : 'compatibility';
    const words = [info.vendor, info.architecture, info.description].filter((text) => text).join(' ') || 'unnamed GPU';
    const name = `${words}, ${level}`;
    const known = await remembered(name);
    // Without a measurement, what most GPUs of the kind do well.
    const traits = known ?? { isSoftware, packedDot: hasPackedDot() && !isSoftware };
    return new GpuDevice(device, name, traits, isSoftware || known !== undefined, texts, isOurs);
  }

  /** Whether shaders may have 16-bit floats. */
  get hasHalves(): boolean {
    return this.device.features.has('shader-f16');
  }

  /** The pipeline of a dispatch. Rejects when the shader does not compile here. */
  pipeline(dispatch: GpuDispatch): Promise<GPUComputePipeline> {
    const key = pipelineKey(dispatch);
    // Flags that make no difference to the text make no pipeline of their own.
    return this.pipelineOnce(key, () => {
      const code = shaderText(dispatch, this.texts);
      return this.pipelineOnce(code, () => this.compiled(dispatch, key, code));
    });
  }

  /** Compiles what dispatches need. Never rejects: what is wrong shows when it is used. */
  async compile(dispatches: readonly GpuDispatch[]): Promise<void> {
    await Promise.allSettled(dispatches.map((dispatch) => this.pipeline(dispatch)));
  }

  /** The pipeline of this key, which `make` compiles the first time. */
  pipelineOnce(key: string, make: () => Promise<GPUComputePipeline>): Promise<GPUComputePipeline> {
    let pipeline = this.pipelines.get(key);
    if (!pipeline) {
      pipeline = make();
      // Whoever needs it hears of it; nobody may have come so far.
      pipeline.catch(() => {});
      this.pipelines.set(key, pipeline);
    }
    return pipeline;
  }

  private async compiled(dispatch: GpuDispatch, label: string, code: string): Promise<GPUComputePipeline> {
    const { device } = this;
    const layout = device.createPipelineLayout({ bindGroupLayouts: [this.layout(dispatch)] });
    const module = device.createShaderModule({ label, code });
    try {
      return await device.createComputePipelineAsync({ label, layout, compute: { module, entryPoint: 'main' } });
    } catch (error) {
      if (this.lost !== undefined) throw error;
      const { messages } = await module.getCompilationInfo();
      const lines = messages.map(({ lineNum, message }) => `${message}: ${code.split('\n')[lineNum - 1]}`);
      throw new WaferError('NO_DEVICE', `shader "${label}" does not compile on this GPU: ${[error, ...lines].join('; ')}`, {
        hint: "use backend: 'wasm', and report it",
      });
    }
  }

  /** Shared by all dispatches with as many buffers. */
  layout({ reads, writes }: GpuDispatch): GPUBindGroupLayout {
    const key = `${reads.length} ${writes.length}`;
    let layout = this.layouts.get(key);
    if (!layout) {
      const types: GPUBufferBindingType[] = [
        'uniform',
        ...reads.map(() => 'read-only-storage' as const),
        ...writes.map(() => 'storage' as const),
      ];
      const entries = types.map((type, binding) => ({ binding, visibility: COMPUTE_STAGE, buffer: { type } }));
      layout = this.device.createBindGroupLayout({ entries });
      this.layouts.set(key, layout);
    }
    return layout;
  }

  /** Runs `make`, which makes buffers and the like. Throws MEMORY where the GPU has none left; another error is a bug. */
  async checked<T>(make: () => T): Promise<T> {
    const { device } = this;
    device.pushErrorScope('out-of-memory');
    device.pushErrorScope('validation');
    const made = make();
    const [invalid, memory] = await Promise.all([device.popErrorScope(), device.popErrorScope()]);
    if (memory) throw new WaferError('MEMORY', `the GPU has no memory left (${memory.message})`);
    if (invalid) throw new Error(`wafer bug: ${invalid.message}`);
    return made;
  }

  /** Throws the first error that came since the last time. */
  takeError(): void {
    const { error } = this;
    this.error = undefined;
    if (error instanceof GPUOutOfMemoryError) throw new WaferError('MEMORY', `the GPU has no memory left (${error.message})`);
    if (error) throw new Error(`wafer bug: ${error.message}`);
  }

  /** The page's own device is left as it is. */
  dispose(): void {
    if (this.isOurs) this.device.destroy();
  }
}
