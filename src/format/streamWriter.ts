/** Encodes streams of bytes, the packer's half of rans.ts and of streams in tensors.ts. */
import { Tree } from './bits';
import { BitCounter, BitWriter } from './bitWriter';
import { MAX_LEARNT_ELEMENTS, STREAMS } from './layout';
import { codeRanks, frequencies, LOW, lanesOf, maxRank, type Ranks, TOTAL } from './rans';
import { Sink } from './sink';
import { type Levels, rotated, symbolBits } from './tensors';

/** Streams of fewer symbols are not worth a table. */
const MIN_RANS = 256;
/** Streams of more symbols are not worth the time that learnt bits take. */
const MAX_LEARNT_SYMBOLS = 2048;

/** The smallest form of a stream; of equal ones the quickest to decode. */
export function encodeStream(symbols: Uint8Array, levels: Levels): Uint8Array {
  if (symbols.length && symbols.every((symbol) => symbol === symbols[0])) return form('fill', symbols.subarray(0, 1));
  const forms = [form('plain', symbols)];
  const rans = symbols.length >= MIN_RANS && encodeRans(symbols, levels, forms[0]!.length);
  if (rans) forms.push(rans);
  if (symbols.length <= Math.min(MAX_LEARNT_SYMBOLS, MAX_LEARNT_ELEMENTS)) forms.push(encodeLearnt(symbols, levels));
  return shortest(forms);
}

/** The first of the shortest. */
export const shortest = (forms: readonly Uint8Array[]): Uint8Array => forms.reduce((a, b) => (b.length < a.length ? b : a));

function form(kind: (typeof STREAMS)[number], ...parts: readonly Uint8Array[]): Uint8Array {
  const to = new Sink();
  to.u8(STREAMS.indexOf(kind));
  for (const part of parts) to.raw(part);
  return to.bytes;
}

function encodeLearnt(symbols: Uint8Array, { count, group }: Levels): Uint8Array {
  const to = new BitWriter();
  const tree = new Tree(symbolBits(count ** group));
  for (const symbol of symbols) tree.code(to, symbol);
  return form('learnt', to.end());
}

/** Undefined when it would not have fewer than `limit` bytes. */
function encodeRans(symbols: Uint8Array, levels: Levels, limit: number): Uint8Array | undefined {
  const counts = new Float64Array(256);
  for (const symbol of symbols) counts[symbol]!++;
  const chosen = chooseRanks(counts, levels);
  if (!chosen || chosen.bytes >= limit) return undefined;
  const table = new BitWriter();
  codeRanks(table, levels.count, chosen.ranks);
  const tableBytes = table.end();
  const length = new Sink();
  length.uint(tableBytes.length);
  return form('rans', length.bytes, tableBytes, encodeSymbols(symbols, chosen.found));
}

/** The ranks that make table and symbols shortest together: finer ones, or counts that are smoothed, as far as that pays. */
function chooseRanks(counts: Float64Array, { count, group, isSigned }: Levels) {
  const levels = levelCounts(counts, count, group);
  const ordered = levels.map((_, i) => levels[isSigned ? i ^ 128 : i]!);
  let best: { ranks: Ranks; found: Uint16Array; bytes: number } | undefined;
  for (const reach of count > 16 ? [0, 1, 2, 4, 8] : [0])
    for (let fineness = 0; fineness < 4; fineness++) {
      const ranks = { fineness, ranks: ranksOf(smoothed(ordered, reach), fineness) };
      const found = frequencies(isSigned ? rotated(ranks) : ranks, group);
      if (!found) continue;
      const table = new BitCounter();
      codeRanks(table, count, ranks);
      let bytes = table.bytes;
      for (const [symbol, n] of counts.entries()) if (n) bytes -= (n * Math.log2(found[symbol]! / TOTAL)) / 8;
      if (!best || bytes < best.bytes) best = { ranks, found, bytes };
    }
  return best;
}

/** How often each level comes, from how often symbols do. */
function levelCounts(counts: Float64Array, count: number, group: number): number[] {
  const levels = new Array<number>(count).fill(0);
  for (const [symbol, n] of counts.entries())
    if (n) for (let i = 0, left = symbol; i < group; i++, left = Math.floor(left / count)) levels[left % count]! += n;
  return levels;
}

/** Counts averaged over `reach` neighbours on each side; what does not come stays so. */
function smoothed(counts: readonly number[], reach: number): number[] {
  if (!reach) return [...counts];
  return counts.map((n, i) => {
    if (!n) return 0;
    const near = counts.slice(Math.max(0, i - reach), i + reach + 1);
    return near.reduce((a, b) => a + b) / near.length;
  });
}

function ranksOf(counts: readonly number[], fineness: number): number[] {
  const least = Math.max(Math.min(...counts.filter((n) => n > 0)), Math.max(...counts) / TOTAL);
  return counts.map((n) =>
    n ? Math.min(maxRank(fineness), 1 + Math.max(0, Math.round(Math.log2(n / least) * (1 << fineness)))) : 0,
  );
}

/** States and words, as `Codec.rans` takes them. */
function encodeSymbols(symbols: Uint8Array, found: Uint16Array): Uint8Array {
  const firsts = new Uint16Array(found.length);
  for (let i = 1; i < found.length; i++) firsts[i] = firsts[i - 1]! + found[i - 1]!;
  const lanes = lanesOf(symbols.length);
  const states = new Array<number>(lanes).fill(LOW);
  // Symbols are encoded from the last to the first, and so are words.
  const words = new Uint16Array(symbols.length);
  let at = words.length;
  for (let i = symbols.length - 1; i >= 0; i--) {
    const symbol = symbols[i]!;
    const frequency = found[symbol]!;
    const lane = i & (lanes - 1);
    let state = states[lane]!;
    if (state >= frequency * 2 ** 20) {
      words[--at] = state;
      state = Math.floor(state / 65536);
    }
    states[lane] = Math.floor(state / frequency) * TOTAL + (state % frequency) + firsts[symbol]!;
  }
  const to = new Sink();
  for (const state of states) to.u32(state);
  to.raw(new Uint8Array(words.buffer, 2 * at));
  return to.bytes;
}
