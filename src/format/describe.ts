/** Says in words how a tensor is stored, for `wafer inspect`. */
import { sizeOf } from '../core/dtype';
import { Cursor } from './cursor';
import { ENCODINGS, type Encoding, PALETTES, STREAMS } from './layout';
import type { Blob } from './tensors';

/** Such as `dense rans`, `ternary, 5 in a byte, rans` or `bitmap (…) of f16 plain+rans`. `file` is the whole file, which was read before. */
export const describeBlob = ({ encoding, dtype, at, end }: Blob, file: Uint8Array): string =>
  describe(encoding, sizeOf(dtype), new Cursor(file, at, end));

function describe(encoding: Encoding, size: number, from: Cursor): string {
  switch (encoding) {
    case 'planes':
      return size === 1 ? `dense ${streamOf(from)}` : `planes ${planes(size, from)}`;
    case 'half':
      return `f16 ${planes(2, from)}`;
    case 'palette':
      return palette(from);
    case 'sparse': {
      const block = from.u8();
      const mask = ENCODINGS[from.u8()]!;
      const at = from.take(from.uint());
      const where = describe(mask, 1, new Cursor(from.bytes, at, from.at));
      return `${block === 1 ? 'bitmap' : `vectors of ${block}`} (${where}) of ${describe(ENCODINGS[from.u8()]!, size, from)}`;
    }
    default:
      return encoding;
  }
}

const streamOf = (from: Cursor): string => STREAMS[from.u8()]!;

/** The forms of the streams, the lowest byte first. */
function planes(size: number, from: Cursor): string {
  const forms = Array.from({ length: size }, (_, i) => {
    const length = i < size - 1 ? from.uint() : from.left;
    const at = from.take(length);
    return streamOf(new Cursor(from.bytes, at, from.at));
  });
  return forms.join('+');
}

function palette(from: Cursor): string {
  const form = PALETTES[from.u8()]!;
  const count = from.u8() + 1;
  if (form === 'steps' || form === 'integers') for (let i = 0; i < (form === 'steps' ? 2 : count); i++) from.uint();
  else from.take(count * (form === 'halves' ? 2 : 4));
  const group = from.u8();
  const named = count === 2 ? 'binary' : count === 3 ? 'ternary' : form === 'steps' && count <= 16 ? 'int4' : undefined;
  const name = named ?? `codebook-${Math.ceil(Math.log2(count))}`;
  return `${name}${group > 1 ? `, ${group} in a byte` : ''}, ${streamOf(from)}`;
}
