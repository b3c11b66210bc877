/**
 * Reads the text in a picture with three networks, PP-OCRv4's pipeline: detect lines, straighten each, turn the ones that
 * stand on their heads, recognise. The networks are functions, so that any engine can be under them.
 */
import { detectorView, type TextBox, textBoxes } from './detect';
import type { Picture, Tensor } from './picture';
import { classifierView, decode, isUpsideDown, type Reading, recognizerView } from './recognize';
import { straightened, upsideDown, type View } from './view';

/** Runs a network on its one input, what it sees of the picture, and gives its one output. */
export type Network = (view: View) => Promise<Tensor>;

/** The stages, in the order in which a picture passes them. */
export const stages = ['detect', 'classify', 'recognize'] as const;
export type Stage = (typeof stages)[number];

export interface Models extends Readonly<Record<Stage, Network>> {
  /** The recogniser's classes, see `recognizerLabels`. */
  readonly labels: readonly string[];
}

/** A line found and read. */
export interface Line extends TextBox {
  reading: Reading;
  /** Whether the line stood on its head. */
  turned: boolean;
}

/** Networks' time alone, without the work on pixels between them. */
export interface StageTime {
  runs: number;
  ms: number;
}

export interface PictureText {
  /** In reading order. */
  lines: Line[];
  times: Record<Stage, StageTime>;
}

/** Readings below this mean probability are noise, and dropped. */
const leastScore = 0.5;

export interface ReadOptions {
  /** Hears of each line as soon as it is read. */
  onLine?: (line: Line) => void;
  /** Ends the reading before the next network runs; `readText` then rejects with the signal's reason. */
  signal?: AbortSignal;
}

/** What the picture says. Rejects with what the networks reject with. */
export async function readText(picture: Picture, models: Models, { onLine, signal }: ReadOptions = {}): Promise<PictureText> {
  const times: PictureText['times'] = { detect: { runs: 0, ms: 0 }, classify: { runs: 0, ms: 0 }, recognize: { runs: 0, ms: 0 } };
  const run = async (stage: Stage, view: View): Promise<Tensor> => {
    signal?.throwIfAborted();
    const start = performance.now();
    let making = 0;
    const tensor = (): Tensor => {
      const from = performance.now();
      const made = view.tensor();
      making += performance.now() - from;
      return made;
    };
    const output = await models[stage]({ ...view, tensor });
    times[stage].runs++;
    times[stage].ms += performance.now() - start - making;
    return output;
  };
  const lines: Line[] = [];
  for (const box of textBoxes(await run('detect', detectorView(picture)), picture)) {
    const found = straightened(picture, box.quad);
    const turned = isUpsideDown(await run('classify', classifierView(found)));
    const reading = decode(await run('recognize', recognizerView(turned ? upsideDown(found) : found)), models.labels);
    if (reading.score < leastScore) continue;
    const line = { ...box, reading, turned };
    lines.push(line);
    onLine?.(line);
  }
  return { lines, times };
}
