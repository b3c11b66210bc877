/**
 * A loaded model in the thread that computes: reads the file, takes a device, turns what a page passes into tensors.
 * The page's own thread and the worker run this same class.
 */
import { dimText, isStatic } from '../core/dim';
import type { DType, TypedArray } from '../core/dtype';
import { WaferError } from '../core/errors';
import { isStaticShape, type Quant, type StaticShape, shapeText } from '../core/shape';
import { checkGolden, F32_TOLERANCE } from '../format/golden';
import type { ImageProcessing, Postprocessing, Provenance, WaferModel } from '../format/model';
import { WaferReader } from '../format/reader';
import { releaseConstants, type Value } from '../graph/ir';
import { runGolden } from './golden';
import { imageTensor, isPixels, type Pixels } from './image';
import { type Explanation, type MemoryUse, type NodeProfile, Session, type TensorData, type TensorInput } from './session';
import { type Binaries, type Chosen, WasmDevice } from './wasm/device';
import { type Spawn, threadLimit } from './wasm/pool';

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

/** A bare array takes the model's own shape, which must have no free dimensions. */
export type EngineInput = TensorInput | TypedArray | Pixels;
export type EngineInputs = Readonly<Record<string, EngineInput>>;

export interface EngineOptions {
  /** Whether the file's golden runs are repeated on this device before the model is used. Default `off`. */
  verify?: 'off' | 'first-run';
  /** As `load` takes it. Default 1. */
  threads?: number | 'auto';
}

export interface ProfileOptions {
  /** How many runs each node's least time is taken from. Default 5. */
  runs?: number;
}

export class Engine {
  readonly description: Description;

  private constructor(
    bytes: number,
    private readonly model: WaferModel,
    private readonly session: Session,
  ) {
    this.description = describe(bytes, model);
  }

  /**
   * Opens a file that arrives in chunks, which are not to be changed afterwards. A model without free dimensions is planned and
   * its weights are packed while they arrive; then the file is let go. Throws BAD_FILE, NO_DEVICE, CSP, MEMORY, what `chunks`
   * throws, and MISMATCH when a golden run gives other results on this device. `spawn` starts further threads, where this one may
   * wait for them.
   */
  static async open(
    chunks: AsyncIterable<Uint8Array>,
    binaries: Binaries | Chosen,
    { verify = 'off', threads = 1 }: EngineOptions = {},
    spawn?: Spawn,
  ): Promise<Engine> {
    const device = await WasmDevice.create(binaries, undefined, { limit: threadLimit(threads, spawn) });
    const reader = new WaferReader(device.crc32.bind(device));
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
    const session = new Session(model.graph, device);
    const shapes = model.graph.inputs.map(({ name, type }) => [name, type.shape] as const);
    const isFixed = shapes.every((entry): entry is [string, StaticShape] => isStaticShape(entry[1]));
    if (isFixed)
      for (const { inputs } of session.prepare(Object.fromEntries(shapes)))
        while (!inputs.every((x) => !x || reader.has(x))) await arrive();
    while (await arrive());
    if (isFixed) releaseConstants(model.graph);
    // Integers are exact; f32 may have been summed in another order by the version that packed the file.
    if (verify === 'first-run')
      for (const golden of model.goldens) checkGolden(golden, runGolden(session, golden), F32_TOLERANCE);
    return new Engine(bytes, model, session);
  }

  run(inputs: EngineInputs): Record<string, TensorData> {
    return this.session.run(this.tensors(inputs));
  }

  profile(inputs: EngineInputs, options: ProfileOptions = {}): NodeProfile[] {
    return this.session.profile(this.tensors(inputs), options);
  }

  explain(): Explanation {
    return this.session.explain();
  }

  memory(): MemoryUse {
    return this.session.memory();
  }

  dispose(): void {
    this.session.dispose();
  }

  private tensors(inputs: EngineInputs): Record<string, TensorInput> {
    const declared = new Map(this.model.graph.inputs.map((x) => [x.name, x]));
    const tensors: Record<string, TensorInput> = {};
    for (const [name, given] of Object.entries(inputs)) {
      const value = declared.get(name);
      // The session says what is wrong with names and with values that are no tensors.
      if (!value || typeof given !== 'object' || given === null) tensors[name] = given as TensorInput;
      else if (ArrayBuffer.isView(given)) tensors[name] = { data: given, shape: declaredShape(value) };
      else tensors[name] = isPixels(given) ? this.fromPixels(given, value) : given;
    }
    return tensors;
  }

  private fromPixels(image: Pixels, { name, type }: Value): TensorInput {
    const processing = this.model.images?.find((i) => i.input === name);
    if (!processing)
      throw new WaferError(
        'ARGUMENT',
        `input "${name}" ${shapeText(type.shape)} takes a tensor: the file does not say how images are read`,
        {
          hint: 'pass { data, shape }, or pack the model with its image processing',
        },
      );
    const sides = [image.width, image.height].every((n) => Number.isSafeInteger(n) && n > 0);
    if (!sides || image.data.length !== image.width * image.height * 4)
      throw new WaferError(
        'SHAPE',
        `an image of ${image.width} x ${image.height} needs RGBA pixels, got ${image.data.length} bytes`,
      );
    const [h, w] = processing.layout === 'nhwc' ? [1, 2] : [2, 3];
    const side = (axis: number, own: number) => {
      const dim = type.shape[axis];
      return dim !== undefined && isStatic(dim) ? dim : own;
    };
    return imageTensor(image, side(h!, image.height), side(w!, image.width), processing);
  }
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
