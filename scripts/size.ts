/** `npm run size`: what each built file weighs, raw and compressed, and exit code 1 when one is over its budget. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

/** Upper limits in bytes after brotli. The runtime's cover its script and the WASM inside it. */
const BROTLI_BUDGETS: Readonly<Record<string, number>> = {
  'wafer.min.js': 120_000,
  'wafer.mjs': 120_000,
  'wafer.worker.js': 120_000,
};

const brotli = (bytes: Buffer): number =>
  brotliCompressSync(bytes, {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length },
  }).length;

const folder = 'dist';
const names = existsSync(folder) ? readdirSync(folder).filter((name) => /\.(?:js|mjs|wasm)$/.test(name)) : [];
for (const name of Object.keys(BROTLI_BUDGETS))
  if (!names.includes(name)) {
    console.error(`size: ${join(folder, name)} is missing; npm run build makes it`);
    process.exitCode = 1;
  }

const row = (...cells: (string | number)[]) => cells.map((c, i) => (i ? String(c).padStart(10) : String(c).padEnd(20))).join('');
if (names.length) console.log(row('bytes', 'raw', 'gzip', 'brotli', 'budget'));
for (const name of names.sort()) {
  const bytes = readFileSync(join(folder, name));
  const budget = BROTLI_BUDGETS[name];
  const packed = brotli(bytes);
  console.log(row(name, bytes.length, gzipSync(bytes, { level: 9 }).length, packed, budget ?? ''));
  if (budget !== undefined && packed > budget) {
    console.error(`size: ${name} is ${packed - budget} bytes over its budget of ${budget}`);
    process.exitCode = 1;
  }
}
