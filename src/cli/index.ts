/**
 * `wafer`: the packer's face and everybody's debugger. A verb a file; each prints its answer on stdout (`--json` for
 * machines) and exits 0, 1 when the answer is no, or 2 when it was asked something it cannot answer.
 */
import { Command, CommanderError } from 'commander';
import { version } from '../../package.json';
import { WaferError } from '../core/errors';
import { benchCommand } from './bench';
import { diffCommand } from './diff';
import { evalCommand } from './eval';
import { factorizeCommand } from './factorize';
import { inspectCommand } from './inspect';
import { packCommand } from './pack';
import { pruneCommand } from './prune';
import { runCommand } from './run';
import { printError, printJson } from './terminal';
import { trainCommand } from './train';
import { verifyCommand } from './verify';

const EXIT_NO = 1;
const EXIT_USAGE = 2;

const program = new Command('wafer')
  .description('Neural networks, packed small and run fast in web pages.')
  .version(version)
  .addHelpText('after', '\nwafer help VERB shows what a verb takes, with an example.');

for (const command of [
  packCommand(),
  trainCommand(),
  pruneCommand(),
  factorizeCommand(),
  evalCommand(),
  inspectCommand(),
  verifyCommand(),
  runCommand(),
  benchCommand(),
  diffCommand(),
])
  program.addCommand(command.option('--json', 'print the answer as JSON'));
for (const command of [program, ...program.commands]) command.exitOverride();

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE;
  else {
    if (process.argv.includes('--json') && error instanceof WaferError) printJson({ error });
    printError(error);
    process.exitCode = error instanceof WaferError && error.code === 'MISMATCH' ? EXIT_NO : EXIT_USAGE;
  }
}
