/** Gets what Debian has and npm has not: as root, with apt-get. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';

/** Takes one plain line about what is being tried. */
export type Report = (line: string) => void;

export const onStderr: Report = (line) => process.stderr.write(`${line}\n`);

/** Whether it could be tried; what the package brings is to be looked for. */
export async function installFromDebian(name: string, report: Report = onStderr): Promise<boolean> {
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) return false;
  report(`Installing ${name} with apt-get ...`);
  for (const args of [['update'], ['install', '-y', '--no-install-recommends', name]]) {
    const code = await quietly('apt-get', args);
    if (code !== 0) report(`  apt-get ${args[0]} ended with ${code}.`);
  }
  return true;
}

/** Runs a command, its output going to stderr; its exit code. */
function quietly(command: string, args: string[]): Promise<number | null> {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      stdio: ['ignore', 2, 2],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    });
    child.on('error', () => resolve(null));
    child.on('close', resolve);
  });
}
