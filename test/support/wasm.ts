/** The WASM device in Node, from the binaries that `npm run build:assembly` wrote. */
import { readFileSync } from 'node:fs';
import { WasmDevice } from '../../src/runtime/wasm/device';

const binary = (name: string) => new Uint8Array(readFileSync(new URL(`../../build/wafer-${name}.wasm`, import.meta.url)));

const binaries = { base: binary('base'), relaxed: binary('relaxed') };

/** The base build: Node 20 computes the relaxed dot wrongly, so only browsers judge the other. */
export const baseDevice = (): Promise<WasmDevice> => WasmDevice.create(binaries, 'base');
