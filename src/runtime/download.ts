/** From whatever names a model to its bytes, as they arrive. */
import { WaferError } from '../core/errors';

export type Source = string | URL | Blob | ArrayBuffer | Uint8Array | Response;

/** Gets the next bytes, in a buffer that nobody else holds. `total` is 0 where the server does not say how much there is. */
export type OnChunk = (chunk: Uint8Array<ArrayBuffer>, total: number) => void;

/**
 * Gives the bytes of a model in order. Rejects with NOT_FOUND for what cannot be fetched, ARGUMENT for what is no source, and
 * when the signal is aborted.
 */
export async function download(source: Source, onChunk: OnChunk, signal: AbortSignal): Promise<void> {
  if (source instanceof ArrayBuffer || source instanceof Uint8Array) return onChunk(copyOf(source), source.byteLength);
  if (source instanceof Blob) return readAll(new Response(source), source.size, onChunk, signal);
  if (source instanceof Response) return readAll(source, undefined, onChunk, signal);
  if (typeof source !== 'string' && !(source instanceof URL))
    throw new WaferError(
      'ARGUMENT',
      `a model is a URL, Blob, ArrayBuffer, Uint8Array or Response, got ${source === null ? 'null' : typeof source}`,
    );
  const response = await fetch(source, { signal }).catch((error: unknown) => {
    const local = isLocal(source);
    throw new WaferError('NOT_FOUND', `${source} cannot be fetched (${error})`, {
      hint: local
        ? 'pages opened from file: may not fetch; pass the file’s bytes, or a File from <input type="file">'
        : 'is the server there, and does it allow this page (CORS, connect-src)?',
    });
  });
  return readAll(response, undefined, onChunk, signal);
}

function copyOf(source: ArrayBuffer | Uint8Array): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(source instanceof ArrayBuffer ? source.slice(0) : source);
  } catch {
    throw new WaferError('ARGUMENT', 'the buffer was transferred to somewhere else', { hint: 'pass a copy: buffer.slice()' });
  }
}

function isLocal(source: string | URL): boolean {
  try {
    return new URL(source, globalThis.location?.href).protocol === 'file:';
  } catch {
    return false;
  }
}

async function readAll(response: Response, size: number | undefined, onChunk: OnChunk, signal: AbortSignal): Promise<void> {
  if (!response.ok)
    throw new WaferError('NOT_FOUND', `${response.url} answered ${response.status} ${response.statusText}`.trim(), {
      hint: 'is the address right? It is relative to the page',
    });
  if (response.bodyUsed || response.body?.locked)
    throw new WaferError('ARGUMENT', 'the response was read before', { hint: 'pass it unread, or pass response.clone()' });
  // What is sent may be compressed; its length then says nothing about the bytes that arrive here.
  const declared = response.headers.get('content-encoding') ? 0 : Number(response.headers.get('content-length') ?? 0);
  const total = size ?? declared;
  // Chunks of a response that a page has made may be the page's own arrays.
  const isOwn = response.type !== 'default';
  let loaded = 0;
  const reader = response.body?.getReader();
  if (!reader) throw new WaferError('ARGUMENT', 'the response has no body');
  const cancel = () => void reader.cancel().catch(() => {});
  signal.addEventListener('abort', cancel);
  if (signal.aborted) cancel();
  for (;;) {
    const { done, value } = await reader.read().catch((error: unknown) => {
      throw new WaferError('NOT_FOUND', `the download broke off after ${loaded} bytes (${error})`, { hint: 'load it again' });
    });
    if (done) break;
    if (!(value instanceof Uint8Array)) throw new WaferError('ARGUMENT', 'the response does not consist of bytes');
    loaded += value.byteLength;
    onChunk(isOwn ? value : value.slice(), Math.max(total, total && loaded));
  }
  if (signal.aborted) throw new WaferError('NOT_FOUND', `the download was ended after ${loaded} bytes`);
}
