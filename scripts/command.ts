/** How a script with options of its own is run. */
import { type Command, CommanderError } from 'commander';
import { printError } from '../src/cli/terminal';

/** Runs the command on what was typed. The exit code is the command's, 0 after help, 2 on bad usage and where it throws. */
export async function runCommand(command: Command): Promise<void> {
  try {
    await command.exitOverride().parseAsync();
  } catch (error) {
    const isUsage = error instanceof CommanderError;
    if (!isUsage) printError(error);
    process.exitCode = isUsage && error.exitCode === 0 ? 0 : 2;
  }
}
