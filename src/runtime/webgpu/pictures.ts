/** Pictures into inputs on the GPU: copied to a texture there, and sampled by a shader that writes the input's own buffer. */
import { WaferError } from '../../core/errors';
import type { Precision } from '../../core/half';
import { f32 } from '../../ops/define';
import { homographyOf, type ImageRequest, isPixels, planesOf } from '../image';
import { isBitmap, type Picture, pixelsOf, sizeOfDrawable } from '../pixels';
import { type GpuDevice, pipelineKey, shaderText } from './device';
import { groupsOf, OFFSET, uniformsOf } from './plan';
import { BUFFER, COMPUTE_STAGE, TEXTURE } from './usage';

/** Where an input lies, and what its elements are. */
export interface PictureTarget {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly bytes: number;
  readonly precision: Precision;
}

/** Codes of shaders/picture.wgsl. */
const CHANNELS = { rgb: 0, bgr: 1, gray: 2 } as const;

/** Makes one input of a plan of pictures, one after the other. */
export class PictureReader {
  private readonly uniforms: GPUBuffer;

  private constructor(
    private readonly gpu: GpuDevice,
    private readonly pipeline: GPUComputePipeline,
    private readonly pictures: PictureTexture,
    private readonly target: PictureTarget,
  ) {
    this.uniforms = gpu.device.createBuffer({ size: OFFSET, usage: BUFFER.UNIFORM | BUFFER.COPY_DST });
  }

  static async create(gpu: GpuDevice, pictures: PictureTexture, target: PictureTarget): Promise<PictureReader> {
    const shader = { shader: 'picture', flags: { F16: target.precision === 'f16' } } as const;
    const label = pipelineKey(shader);
    const pipeline = await gpu.pipelineOnce(label, () => pipelineOf(gpu, label, shaderText(shader, gpu.texts)));
    return new PictureReader(gpu, pipeline, pictures, target);
  }

  /** Adds the dispatch to a pass; the picture is read now. Throws ARGUMENT for one that is empty or may not be read. */
  encode(pass: GPUComputePassEncoder, request: ImageRequest<Picture>): void {
    const { device } = this.gpu;
    const { image, height, width, processing, columns = width } = request;
    const { layout, channels, mean, scale } = processing;
    const size = isPixels(image) ? image : sizeOfDrawable(image);
    const planes = planesOf(processing);
    const strides = layout === 'nhwc' ? [planes, 1] : [1, height * width];
    const three = (list: readonly number[], otherwise: number) => [0, 1, 2].map((k) => f32(list[k] ?? otherwise));
    const numbers = [width, columns, height, ...strides, CHANNELS[channels], ...homographyOf(size, request).map(f32)];
    const threads = height * width;
    device.queue.writeBuffer(this.uniforms, 0, uniformsOf(threads, [...numbers, ...three(mean, 0), ...three(scale, 1)]));
    const texture = this.pictures.holding(image, size);
    const { buffer, offset, bytes } = this.target;
    const resources = [{ buffer: this.uniforms }, { buffer, offset, size: bytes }, texture.createView()];
    const entries = resources.map((resource, binding) => ({ binding, resource }));
    pass.setPipeline(this.pipeline);
    pass.setBindGroup(0, device.createBindGroup({ layout: this.pipeline.getBindGroupLayout(0), entries }));
    pass.dispatchWorkgroups(...groupsOf(threads, 'picture'));
  }

  dispose(): void {
    this.uniforms.destroy();
  }
}

/** The texture in which the pictures of one input lie, one after the other, whatever the plan that reads them. */
export class PictureTexture {
  private texture: GPUTexture | undefined;
  /** What it holds, where that can never be another picture. */
  private held: WeakRef<ImageBitmap> | undefined;

  constructor(private readonly gpu: GpuDevice) {}

  /** The texture with this picture in it, which is copied unless it is the bitmap that lies there. */
  holding(image: Picture, size: { width: number; height: number }): GPUTexture {
    if (this.texture && this.held?.deref() === image) return this.texture;
    this.held = undefined;
    const texture = this.sized(size);
    this.copy(image, texture);
    if (!isPixels(image) && isBitmap(image)) this.held = new WeakRef(image);
    return texture;
  }

  private copy(image: Picture, texture: GPUTexture): void {
    const { queue } = this.gpu.device;
    const { width, height } = texture;
    if (!isPixels(image))
      try {
        queue.copyExternalImageToTexture({ source: image as ImageBitmap }, { texture, premultipliedAlpha: false }, [
          width,
          height,
        ]);
        return;
      } catch {
        // Some adapters cannot take some kinds, as video frames. What nobody may read is told of below.
      }
    const { data } = pixelsOf(image);
    queue.writeTexture({ texture }, data as Uint8Array<ArrayBuffer>, { bytesPerRow: 4 * width }, [width, height]);
  }

  private sized({ width, height }: { width: number; height: number }): GPUTexture {
    const { texture } = this;
    if (texture?.width === width && texture.height === height) return texture;
    const most = this.gpu.device.limits.maxTextureDimension2D;
    if (Math.max(width, height) > most)
      throw new WaferError('MEMORY', `a picture of ${width} x ${height} is more than this GPU's ${most} pixels a side`, {
        hint: 'draw it smaller first',
      });
    texture?.destroy();
    const usage = TEXTURE.TEXTURE_BINDING | TEXTURE.COPY_DST | TEXTURE.RENDER_ATTACHMENT;
    this.texture = this.gpu.device.createTexture({ size: [width, height], format: 'rgba8unorm', usage });
    return this.texture;
  }

  dispose(): void {
    this.texture?.destroy();
  }
}

function pipelineOf({ device }: GpuDevice, label: string, code: string): Promise<GPUComputePipeline> {
  const visibility = COMPUTE_STAGE;
  const entries = [
    { binding: 0, visibility, buffer: { type: 'uniform' as const } },
    { binding: 1, visibility, buffer: { type: 'storage' as const } },
    { binding: 2, visibility, texture: {} },
  ];
  const layout = device.createPipelineLayout({ bindGroupLayouts: [device.createBindGroupLayout({ entries })] });
  const module = device.createShaderModule({ label, code });
  return device.createComputePipelineAsync({ label, layout, compute: { module, entryPoint: 'main' } });
}
