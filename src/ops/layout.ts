/**
 * Image layouts at import. ONNX images are [N,C,…spatial], Wafer's are [N,…spatial,C]: an importer puts these around
 * every image operator, and a pass cancels the pairs that meet.
 */
import type { Emit, Ref } from './define';

/** [N,C,…] to [N,…,C], for any number of spatial axes. */
export function channelsLast(emit: Emit, x: Ref): Ref {
  const rank = x.type.shape.length;
  return emit('transpose', [x], { perm: [0, ...Array.from({ length: rank - 2 }, (_, i) => i + 2), 1] });
}

/** [N,…,C] to [N,C,…], for any number of spatial axes. */
export function channelsFirst(emit: Emit, x: Ref): Ref {
  const rank = x.type.shape.length;
  return emit('transpose', [x], { perm: [0, rank - 1, ...Array.from({ length: rank - 2 }, (_, i) => i + 1)] });
}
