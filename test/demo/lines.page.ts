/** The part of lines.test.ts that runs in the page: the demo's pipeline over the public API. */
import { type Network, readText, type Stage, stages } from '../../demo/ocr/read';
import { BitmapPicture, waferNetworks } from '../../demo/ocr/wafer';
import type * as Wafer from '../../src/index';
import { fromBase64, type Sent, send } from '../support/sent';

declare const wafer: typeof Wafer;

export interface PageReading {
  texts: string[];
  /** Of each network, in the order in which they ran. */
  runs: { stage: Stage; input: Sent; output: Sent }[];
}

let models: Record<Stage, Wafer.Model>;

/** Takes the three files in base64. */
async function loadModels(files: Record<Stage, string>): Promise<void> {
  const loaded = await Promise.all(stages.map(async (stage) => [stage, await wafer.load(fromBase64(files[stage]))] as const));
  models = Object.fromEntries(loaded) as typeof models;
}

/** Reads a picture file given in base64. */
async function readPage(file: string): Promise<PageReading> {
  const runs: PageReading['runs'] = [];
  const picture = new BitmapPicture(await createImageBitmap(new Blob([fromBase64(file)])));
  const networks = waferNetworks(models);
  const seen =
    (stage: Stage): Network =>
    async (view) => {
      const output = await networks[stage](view);
      runs.push({ stage, input: send(view.tensor()), output: send(output) });
      return output;
    };
  const { lines } = await readText(picture, {
    ...networks,
    ...{ detect: seen('detect'), classify: seen('classify'), recognize: seen('recognize') },
  });
  return { texts: lines.map(({ reading }) => reading.text), runs };
}

const calls = { loadModels, readPage };
export type LineCalls = typeof calls;
Object.assign(globalThis, calls);
