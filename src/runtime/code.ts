/** What a thread needs to compute models besides its own script. A page sends it to the worker that it starts. */
import { binaries } from './wasm/binaries';
import type { Binaries, Chosen } from './wasm/device';
import type { ShaderTexts } from './webgpu/specialise';
import { TEXTS } from './webgpu/texts.gen';

export interface Code {
  /** The WASM binaries, or the one that suits this engine. Undefined where the page may compile none. */
  kernels?: Binaries | Chosen | undefined;
  shaders: ShaderTexts;
}

export const code = (): Code => ({ kernels: binaries(), shaders: TEXTS });
