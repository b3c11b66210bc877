/** `wafer verify`: is the file whole, and does this machine compute what it promises? */
import { Command } from 'commander';
import { WaferError } from '../core/errors';
import { checkGolden, F32_TOLERANCE } from '../format/golden';
import { type Verified, verify } from '../format/verify';
import { wasmEngine } from '../packer/evaluate/engine';
import { runGolden } from '../runtime/golden';
import { binaries } from '../runtime/wasm/binaries';
import { readBytes } from './files';
import { print, printJson } from './terminal';

export const verifyCommand = (): Command =>
  new Command('verify')
    .description('check a .wafer file: checksums, structure, golden runs')
    .argument('<file.wafer>')
    .addHelpText('after', '\nExample:\n  wafer verify model.wafer && echo sound')
    .action(verifyFile);

async function verifyFile(path: string, flags: { json?: boolean }): Promise<void> {
  const bytes = await readBytes(path);
  let verified: Verified | undefined;
  let problem: WaferError | undefined;
  try {
    verified = verify(bytes);
    const session = await wasmEngine(binaries()).session(verified.model.graph);
    for (const golden of verified.model.goldens) checkGolden(golden, runGolden(session, golden), F32_TOLERANCE);
    session.dispose();
  } catch (error) {
    if (!(error instanceof WaferError)) throw error;
    problem = error;
    process.exitCode = 1;
  }
  const goldens = verified?.model.goldens.length ?? 0;
  const canonical = verified?.canonical ?? false;
  if (flags.json) return printJson({ sound: !problem, canonical, goldens, ...(problem && { problem }) });
  if (problem) return print(`${path}: ${problem.code}: ${problem.message}`);
  print(`${path}: sound, written by ${canonical ? 'this' : 'another'} version of the format`);
  print(goldens ? `golden runs: ${goldens}, as expected here` : 'golden runs: none in the file');
}
