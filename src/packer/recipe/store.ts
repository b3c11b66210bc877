/**
 * The work folder of a run: what was found, by what it was found from, so that a run that begins again finds it. Files are written
 * aside and moved, so that what is there is whole at any moment.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { WaferError } from '../../core/errors';

/** A hash of plain data and of hashes, in which the order of keys does not count. */
export function keyOf(...parts: readonly unknown[]): string {
  const sorted = (_: string, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value;
  return createHash('sha256').update(JSON.stringify(parts, sorted)).digest('hex');
}

/** Writes `path` as a whole or not at all. Throws NOT_FOUND. */
export function writeWhole(path: string, bytes: Uint8Array | string): void {
  const draft = `${path}.${process.pid}.new`;
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(draft, bytes);
    renameSync(draft, path);
  } catch (error) {
    throw new WaferError('NOT_FOUND', `"${path}" cannot be written: ${(error as Error).message}`, {
      hint: 'choose another place',
    });
  }
}

export class Store {
  constructor(readonly folder: string) {}

  private path(key: string, kind: string): string {
    return join(this.folder, 'cache', `${key}.${kind}`);
  }

  read(key: string, kind: 'state' | 'json'): Uint8Array | undefined {
    const path = this.path(key, kind);
    return existsSync(path) ? new Uint8Array(readFileSync(path)) : undefined;
  }

  write(key: string, kind: 'state' | 'json', bytes: Uint8Array | string): void {
    writeWhole(this.path(key, kind), bytes);
  }

  /** What `make` comes to, found out once. */
  async once<T>(key: string, make: () => Promise<T>): Promise<T> {
    const found = this.read(key, 'json');
    if (found) {
      try {
        return JSON.parse(new TextDecoder().decode(found)) as T;
      } catch {
        // What another program has spoilt is made again.
      }
    }
    const made = await make();
    this.write(key, 'json', JSON.stringify(made));
    return made;
  }

  /** Where the training of a step stands. */
  checkpoint(key: string): string {
    const path = join(this.folder, 'checkpoints', `${key}.npz`);
    mkdirSync(dirname(path), { recursive: true });
    return path;
  }

  dropCheckpoint(key: string): void {
    rmSync(this.checkpoint(key), { force: true });
  }
}
