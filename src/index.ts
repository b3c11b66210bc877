/** The browser API, whole: what is not exported here is not public. */
export type { DType, TypedArray } from './core/dtype';
export { type ErrorCode, WaferError } from './core/errors';
export type { Quant } from './core/shape';
export type { ImageProcessing, Postprocessing, Provenance } from './format/model';
export { type Capabilities, capabilities } from './runtime/capabilities';
export type { Source } from './runtime/download';
export type { FramedPicture, ModelInfo, ProfileOptions, TensorSpec } from './runtime/engine';
export type { Framing, Pixels, Point } from './runtime/image';
export { type LoadOptions, load, type Progress } from './runtime/load';
export type { Input, Model, RunOptions, Thread } from './runtime/model';
export type { Picture } from './runtime/pixels';
export type { Explanation, MemoryUse, NodeProfile } from './runtime/session';
export { type Tensor, tensor } from './runtime/tensor';
export type { GpuTensor, GpuTensorData } from './runtime/webgpu/runner';
