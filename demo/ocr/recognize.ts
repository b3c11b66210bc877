/**
 * Before and after PP-OCRv4's direction classifier and recogniser. Both take a straightened line 48 pixels high; the
 * recogniser answers a class for every eight columns, which CTC decoding (Graves et al., 2006) makes a text of.
 */
import { ctcPath, ctcText } from '../../src/packer/evaluate/ctc';
import type { Normalization, Tensor } from './picture';
import { type Part, type View, viewOf } from './view';

const height = 48;
const classifierWidth = 192;
/** Narrower lines are padded to the first, as in training; wider ones than the second are squeezed to bound the memory. */
const recognizerWidths = { least: 320, most: 3200 } as const;
/** How sure the classifier must be before a line is turned. */
const turnThreshold = 0.9;

export const lineNormalization: Normalization = { mean: [0.5, 0.5, 0.5], deviation: [0.5, 0.5, 0.5] };

/** A line of text as read. */
export interface Reading {
  text: string;
  /** Mean probability of the characters, 0..1; 0 for an empty text. */
  score: number;
}

/** What the classifier sees of a line: 48 x 192. */
export function classifierView(line: Part): View {
  return atHeight(line, classifierWidth);
}

/** Whether the classifier's output [1, 2] (upright, upside down) asks for a half turn. */
export function isUpsideDown({ data }: Tensor): boolean {
  return data[1]! > data[0]! && data[1]! > turnThreshold;
}

/** What the recogniser sees of a line: 48 x W. W is a multiple of 32, so that lines of like length share an execution plan. */
export function recognizerView(line: Part): View {
  const wanted = Math.ceil((height * line.width) / line.height / 32) * 32;
  return atHeight(line, Math.min(recognizerWidths.most, Math.max(recognizerWidths.least, wanted)));
}

function atHeight(line: Part, width: number): View {
  const natural = Math.max(1, Math.ceil((height * line.width) / line.height));
  return viewOf(line, lineNormalization, { height, width, columns: Math.min(natural, width) });
}

/** The recogniser's classes: blank, the dictionary's characters, space. `keys` is PaddleOCR's file, one character a line. */
export function recognizerLabels(keys: string): string[] {
  return ['', ...keys.replace(/\r?\n$/, '').split(/\r?\n/), ' '];
}

/** Greedy CTC decoding of probabilities [1, steps, classes]. */
export function decode(tensor: Tensor, labels: readonly string[]): Reading {
  const path = ctcPath(tensor);
  const sum = path.reduce((total, { score }) => total + score, 0);
  return { text: ctcText(path, labels), score: path.length ? sum / path.length : 0 };
}
