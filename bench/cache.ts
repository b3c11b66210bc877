/** Files that are slow to make, kept in build/bench while nothing that they depend on changes. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const FOLDER = 'build/bench';

/** The path of a file `name` with what `make` gives; it is called where no file was made from the same `sources` before. */
export async function cached(
  name: string,
  sources: readonly (string | Uint8Array)[],
  make: () => Uint8Array | Promise<Uint8Array>,
): Promise<string> {
  const hash = createHash('sha256');
  for (const source of sources) hash.update(createHash('sha256').update(source).digest());
  const [, stem, extension] = /^(.*)(\.\w+)$/.exec(name)!;
  const path = join(FOLDER, `${stem}-${hash.digest('hex').slice(0, 16)}${extension}`);
  if (!existsSync(path)) {
    const bytes = await make();
    mkdirSync(FOLDER, { recursive: true });
    writeFileSync(path, bytes);
  }
  return path;
}
