/** Offset assignment: buffers whose lifetimes do not overlap share bytes. */

/** Lifetimes are in steps of the plan, both ends included. */
export interface Buffer {
  bytes: number;
  first: number;
  last: number;
  /** Set by `assignOffsets`. */
  offset: number;
}

export const ALIGNMENT = 16;

export const align = (bytes: number, alignment = ALIGNMENT): number => Math.ceil(bytes / alignment) * alignment;

/**
 * Gives every buffer an offset, largest first into the lowest gap that is free during its whole life, and returns the
 * bytes needed in all (greedy by size: Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference").
 */
export function assignOffsets(buffers: readonly Buffer[], alignment = ALIGNMENT): number {
  const placed: Buffer[] = [];
  let total = 0;
  for (const buffer of [...buffers].sort((a, b) => b.bytes - a.bytes || a.first - b.first)) {
    let offset = 0;
    for (const other of placed) {
      if (other.first > buffer.last || other.last < buffer.first) continue;
      if (other.offset - offset >= buffer.bytes) break;
      offset = Math.max(offset, align(other.offset + other.bytes, alignment));
    }
    buffer.offset = offset;
    const at = placed.findIndex((p) => p.offset > offset);
    placed.splice(at < 0 ? placed.length : at, 0, buffer);
    total = Math.max(total, offset + buffer.bytes);
  }
  return align(total, alignment);
}
