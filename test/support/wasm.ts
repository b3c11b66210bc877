/** The WASM device in Node. */
import { binaries } from '../../src/runtime/wasm/binaries';
import { WasmDevice } from '../../src/runtime/wasm/device';

/** The base build: Node 20 computes the relaxed dot wrongly, so only browsers judge the other. */
export const baseDevice = (): Promise<WasmDevice> => WasmDevice.create(binaries(), 'base');
