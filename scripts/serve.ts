/**
 * A static file server for pages under test and for the demo: one folder, this machine only, with the headers that make
 * a page cross-origin isolated unless it is not to be. Nothing is cached, so that what is downloaded can be counted.
 */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { pipeline } from 'node:stream/promises';

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.map': 'application/json',
  '.json': 'application/json',
  '.png': 'image/png',
  '.wasm': 'application/wasm',
};

export interface Served {
  /** With a slash at its end. */
  url: string;
  /** Bytes of bodies sent so far. */
  sent(): number;
  close(): Promise<void>;
}

export interface ServeOptions {
  /** Default 0, which takes a free one. */
  port?: number;
  /** Whether pages are cross-origin isolated. Default true. */
  isIsolated?: boolean;
  /** Bytes of bodies a second, of all responses together. Default: as fast as it goes. */
  rate?: number;
}

/** Resolves when so many bytes may be sent. */
type Pace = (bytes: number) => Promise<void>;

/** Serves `folder` at 127.0.0.1. Rejects with the system's error, such as EADDRINUSE. */
export async function serve(folder: string, { port = 0, isIsolated = true, rate }: ServeOptions = {}): Promise<Served> {
  let sent = 0;
  const pace = rate === undefined ? undefined : paceOf(rate);
  const server = createServer((request, response) => {
    if (isIsolated) isolate(response);
    answer(folder, request, response, pace)
      .then((bytes) => (sent += bytes))
      .catch(() => response.destroy());
  });
  await listen(server, port);
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    sent: () => sent,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
}

function isolate(response: ServerResponse): void {
  response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
  response.setHeader('Cross-Origin-Embedder-Policy', 'require-corp');
}

/** `rate` is in bytes a second. */
function paceOf(rate: number): Pace {
  let free = 0;
  return (bytes) => {
    const now = performance.now();
    free = Math.max(free, now) + (1000 * bytes) / rate;
    return new Promise((resolve) => setTimeout(resolve, free - now));
  };
}

/** How many bytes of body were sent. */
async function answer(
  folder: string,
  { url, method }: IncomingMessage,
  response: ServerResponse,
  pace: Pace | undefined,
): Promise<number> {
  response.setHeader('Cache-Control', 'no-store');
  const path = pathOf(folder, url ?? '/');
  const file = path ? await stat(path).catch(() => undefined) : undefined;
  if (!file?.isFile() || !path || (method !== 'GET' && method !== 'HEAD')) {
    response.writeHead(404, { 'Content-Type': 'text/plain' }).end('not found\n');
    return 0;
  }
  const type = types[extname(path)] ?? 'application/octet-stream';
  response.writeHead(200, { 'Content-Type': type, 'Content-Length': file.size });
  if (method === 'HEAD') {
    response.end();
    return 0;
  }
  if (pace) await pipeline(createReadStream(path, { highWaterMark: PACED_BYTES }), pacedBy(pace), response);
  else await new Promise((resolve, reject) => createReadStream(path).on('error', reject).pipe(response).on('close', resolve));
  return file.size;
}

/** Of which a paced body is made. */
const PACED_BYTES = 8192;

const pacedBy = (pace: Pace) =>
  async function* (body: AsyncIterable<Buffer>) {
    for await (const chunk of body) {
      await pace(chunk.length);
      yield chunk;
    }
  };

/** The file that a URL means; undefined where it cannot be decoded. No `..` leads out of the folder. */
function pathOf(folder: string, url: string): string | undefined {
  try {
    const pathname = decodeURIComponent(url.split(/[?#]/)[0]!);
    return join(folder, normalize(`/${pathname.endsWith('/') ? `${pathname}index.html` : pathname}`));
  } catch {
    return undefined;
  }
}
