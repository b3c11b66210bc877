/** A folder of tiny pictures, a folder a class, and a net that learns them at once. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PNG } from 'pngjs';
import { corners, SIDE } from '../corners';

export function writePictures(folder: string, count: number, seed: number): void {
  const { labels, data } = corners(count, seed);
  labels.forEach((label, i) => {
    const png = new PNG({ width: SIDE, height: SIDE });
    for (let p = 0; p < SIDE * SIDE; p++) {
      const v = data[i * SIDE * SIDE + p]!;
      png.data.set([v, v, v, 255], 4 * p);
    }
    mkdirSync(join(folder, `corner${label}`), { recursive: true });
    writeFileSync(join(folder, `corner${label}`, `${i}.png`), PNG.sync.write(png));
  });
}

export const NET = `export default ({ input, conv, batchNorm, relu, maxPool, flatten, linear }) => {
  const x = relu(batchNorm(conv(input([${SIDE}, ${SIDE}, 3]), 16, { bias: false })));
  return linear(flatten(relu(batchNorm(conv(maxPool(x), 16, { stride: 2 })))), 4);
};
`;
