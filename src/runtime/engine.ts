/**
 * A loaded model in the thread that computes: reads the file, takes a device, turns what a page passes into tensors.
 * The page's own thread and the worker run this same class.
 */
import { dimText, isStatic } from '../core/dim';
import type { DType, TypedArray } from '../core/dtype';
import { WaferError } from '../core/errors';
import type { Precision } from '../core/half';
import { isStaticShape, type Quant, type StaticShape, shapeText } from '../core/shape';
import { checkGolden, F32_TOLERANCE } from '../format/golden';
import type { ImageProcessing, Postprocessing, Provenance, WaferModel } from '../format/model';
import { scalarCodec } from '../format/rans';
import { WaferReader } from '../format/reader';
import { type Graph, releaseConstants, type Value } from '../graph/ir';
import { type BackendOptions, Backends } from './backends';
import type { Code } from './code';
import { runGolden } from './golden';
import { type Framing, type ImageRequest, inputSize, isPixels, type Pixels } from './image';
import { isDrawable, type Picture, sizeOfDrawable } from './pixels';
import { type Explanation, type MemoryUse, type NodeProfile, Session, type TensorData, type TensorInput } from './session';
import { WasmDevice } from './wasm/device';
import { type Spawn, threadLimit } from './wasm/pool';
import { GpuDevice, hasWebgpu } from './webgpu/device';
import { draftOf } from './webgpu/plan';
import type { GpuInputs, GpuTensor, GpuTensorData } from './webgpu/runner';
import { GpuSession } from './webgpu/session';

/** An input or output as the model declares it. Free dimensions are text: `"N"`, `"8*W"`. */
export interface TensorSpec {
  name: string;
  dtype: DType;
  shape: readonly (number | string)[];
  /** Of quantised tensors, which hold levels: real = (level - zero) * scale. */
  quant?: Quant;
  /** How an image becomes this input, when the file says it. */
  image?: ImageProcessing;
}

export interface ModelInfo {
  /** Size of the file. */
  bytes: number;
  nodes: number;
  provenance: Provenance;
  postprocessing?: Postprocessing;
}

/** What a page is told of a model. Plain data. */
export interface Description {
  inputs: readonly TensorSpec[];
  outputs: readonly TensorSpec[];
  labels?: readonly string[];
  info: ModelInfo;
}

/** What of a picture is seen, and how large where the input's sides are free (default: as large as the picture). */
export interface FramedPicture extends Framing {
  image: Picture;
  height?: number;
  width?: number;
}

/** A bare array takes the model's own shape, which must have no free dimensions. */
export type EngineInput = TensorInput | TypedArray | Picture | FramedPicture | GpuTensor;
export type EngineInputs = Readonly<Record<string, EngineInput>>;

export interface EngineOptions {
  /** Whether the file's golden runs are repeated on this device before the model is used. Default: on a GPU, but not on WASM. */
  verify?: 'off' | 'first-run';
  /** As `load` takes it. Default 1. */
  threads?: number | 'auto';
  /** As `load` takes it. Default `wasm`. */
  backend?: 'auto' | 'wasm' | 'webgpu';
  /** As `load` takes it. Default `f32`. */
  precision?: Precision;
  /** A device of the page's own. */
  device?: GPUDevice | undefined;
}

export interface ProfileOptions {
  /** How many runs each node's least time is taken from. Default 5. */
  runs?: number;
}

/** Why WASM computes, by how it came to. */
const WHY = {
  wasm: 'wasm was asked for',
  'no WebGPU': 'this browser has no WebGPU, or not on this page',
  auto: undefined,
} as const;

export class Engine {
  readonly description: Description;

  private constructor(
    bytes: number,
    private readonly model: WaferModel,
    private readonly backends: Backends,
  ) {
    this.description = describe(bytes, model);
  }

  /**
   * Opens a file that arrives in chunks, which are not to be changed afterwards. On WASM, a model without free dimensions is planned
   * and its weights are packed while they arrive; then the file is let go. Throws BAD_FILE, NO_DEVICE, CSP, MEMORY, what `chunks`
   * throws, and MISMATCH when a golden run gives other results on this device. `spawn` starts further threads, where this one may
   * wait for them.
   */
  static async open(
    chunks: AsyncIterable<Uint8Array>,
    { kernels, shaders }: Code,
    { verify, threads = 1, backend = 'wasm', precision = 'f32', device }: EngineOptions = {},
    spawn?: Spawn,
  ): Promise<Engine> {
    const onWasm = () => WasmDevice.create(kernels, undefined, { limit: threadLimit(threads, spawn) });
    const onGpu = () => GpuDevice.create(shaders, { device });
    // Found while the file arrives.
    const gpu = backend === 'webgpu' ? onGpu() : undefined;
    gpu?.catch(() => {});
    const wasm = gpu ? undefined : await onWasm();
    // Weights are decoded by WASM wherever there is any, whatever computes.
    const reader = new WaferReader(wasm ?? (await WasmDevice.create(kernels).catch(() => scalarCodec)));
    const arriving = chunks[Symbol.asyncIterator]();
    let bytes = 0;
    const arrive = async (): Promise<boolean> => {
      const { done, value } = await arriving.next();
      if (done) reader.end();
      else {
        bytes += value.byteLength;
        reader.push(value);
      }
      return !done;
    };
    while (!reader.model) await arrive();
    const { model } = reader;
    const { graph, goldens } = model;
    const fixed = fixedShapes(graph);
    // While the weights arrive; a model with free dimensions is compiled for the shapes of its golden run.
    const compiling = gpu?.then((found) => {
      const stored = found.device.features.has('shader-f16') ? precision : 'f32';
      return found.compile(draftOf(graph, goldens[0]?.bindings ?? new Map(), found.traits, stored));
    });
    compiling?.catch(() => {});
    const session = wasm && new Session(graph, wasm);
    if (session && fixed)
      for (const { inputs } of session.prepare(fixed)) while (!inputs.every((x) => !x || reader.has(x))) await arrive();
    while (await arrive());
    const options: BackendOptions = {
      ...{ graph, goldens, verify, precision },
      wasm: async () => planned(new Session(graph, await onWasm()), fixed),
      webgpu: async () => {
        const found = (await gpu) ?? (await onGpu());
        if (!fixed) await compiling;
        return prepared(new GpuSession(graph, found, () => GpuDevice.create(shaders), precision), fixed);
      },
      release: () => fixed && releaseConstants(graph),
    };
    if (!session) return new Engine(bytes, model, await Backends.webgpu(options));
    const choice = backend === 'auto' && hasWebgpu() ? 'auto' : backend === 'auto' ? 'no WebGPU' : 'wasm';
    if (choice !== 'auto') options.release();
    // Integers are exact; f32 may have been summed in another order by the version that packed the file.
    if (verify === 'first-run') for (const golden of goldens) checkGolden(golden, runGolden(session, golden), F32_TOLERANCE);
    return new Engine(bytes, model, Backends.wasm(options, session, WHY[choice]));
  }

  /** Whether pictures are best left what they are: a GPU reads them. */
  get readsPictures(): boolean {
    return this.backends.readsPictures;
  }

  run(inputs: EngineInputs): Promise<Record<string, TensorData>> {
    return this.backends.run(this.sessionInputs(inputs));
  }

  /** As `run`, with outputs in buffers of the GPU. Rejects with ARGUMENT where there is none. */
  runToBuffers(inputs: EngineInputs): Promise<Record<string, GpuTensorData>> {
    return this.backends.runToBuffers(this.sessionInputs(inputs));
  }

  profile(inputs: EngineInputs, options: ProfileOptions = {}): Promise<NodeProfile[]> {
    return this.backends.profile(this.sessionInputs(inputs), options);
  }

  explain(): Explanation {
    return this.backends.explain();
  }

  memory(): MemoryUse {
    return this.backends.memory();
  }

  dispose(): void {
    this.backends.dispose();
  }

  private sessionInputs(inputs: EngineInputs): GpuInputs {
    const declared = new Map(this.model.graph.inputs.map((x) => [x.name, x]));
    const tensors: Record<string, GpuInputs[string]> = {};
    for (const [name, given] of Object.entries(inputs)) {
      const value = declared.get(name);
      // The session says what is wrong with names and with values that are no tensors.
      if (!value || typeof given !== 'object' || given === null) tensors[name] = given as TensorInput;
      else if (ArrayBuffer.isView(given)) tensors[name] = { data: given, shape: declaredShape(value) };
      else if ('image' in given) tensors[name] = this.request(given, value);
      else if (isPixels(given) || isDrawable(given)) tensors[name] = this.request({ image: given }, value);
      else tensors[name] = given;
    }
    return tensors;
  }

  private request({ image, height, width, ...framing }: FramedPicture, { name, type }: Value): ImageRequest<Picture> {
    const processing = this.model.images?.find((i) => i.input === name);
    if (!processing)
      throw new WaferError(
        'ARGUMENT',
        `input "${name}" ${shapeText(type.shape)} takes a tensor: the file does not say how images are read`,
        {
          hint: 'pass { data, shape }, or pack the model with its image processing',
        },
      );
    const own = isPixels(image) ? checkedPixels(image) : sizeOfDrawable(image);
    const size = inputSize(type.shape, processing, { height: height ?? own.height, width: width ?? own.width });
    for (const [what, n] of Object.entries({ ...size, columns: framing.columns ?? size.width }))
      if (!(Number.isSafeInteger(n) && n > 0))
        throw new WaferError('ARGUMENT', `${what} of input "${name}" must be a positive integer, got ${n}`);
    return { image, ...size, ...framing, processing };
  }
}

/** Shapes of the inputs by name, where none has free dimensions. */
function fixedShapes({ inputs }: Graph): Record<string, StaticShape> | undefined {
  const shapes = inputs.map(({ name, type }) => [name, type.shape] as const);
  const isFixed = shapes.every((entry): entry is [string, StaticShape] => isStaticShape(entry[1]));
  return isFixed ? Object.fromEntries(shapes) : undefined;
}

/** The session, with all that runs of these shapes need. */
async function prepared(session: GpuSession, shapes: Record<string, StaticShape> | undefined): Promise<GpuSession> {
  try {
    if (shapes) await session.prepare(shapes);
    return session;
  } catch (error) {
    session.dispose();
    throw error;
  }
}

/** With the plan for these shapes made. */
function planned(session: Session, shapes: Record<string, StaticShape> | undefined): Session {
  if (shapes) for (const _ of session.prepare(shapes));
  return session;
}

/** Throws SHAPE. */
function checkedPixels({ data, width, height }: Pixels): Pixels {
  const sides = [width, height].every((n) => Number.isSafeInteger(n) && n > 0);
  if (sides && data.length === width * height * 4) return { data, width, height };
  throw new WaferError('SHAPE', `an image of ${width} x ${height} needs RGBA pixels, got ${data.length} bytes`);
}

function declaredShape({ name, type }: Value): readonly number[] {
  if (isStaticShape(type.shape)) return type.shape;
  throw new WaferError('SHAPE', `input "${name}" ${shapeText(type.shape)} has free dimensions`, {
    hint: 'pass { data, shape } with the shape you mean',
  });
}

function describe(bytes: number, { graph, provenance, labels, images, postprocessing }: WaferModel): Description {
  const spec = (name: string, { type }: Value): TensorSpec => {
    const image = images?.find((i) => i.input === name);
    return {
      name,
      dtype: type.dtype,
      shape: type.shape.map((d) => (isStatic(d) ? d : dimText(d))),
      ...(type.quant ? { quant: type.quant } : {}),
      ...(image ? { image } : {}),
    };
  };
  return {
    inputs: graph.inputs.map((x) => spec(x.name, x)),
    outputs: graph.outputs.map(({ name, value }) => spec(name, value)),
    ...(labels ? { labels } : {}),
    info: { bytes, nodes: graph.nodes.length, provenance, ...(postprocessing ? { postprocessing } : {}) },
  };
}
