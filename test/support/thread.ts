/** A thread of Node that is one more thread of an engine. */
import { parentPort } from 'node:worker_threads';
import { serveThread, type ThreadScope } from '../../src/runtime/wasm/team';

const scope: ThreadScope = { onmessage: null };
serveThread(scope);
parentPort!.on('message', (data) => scope.onmessage!({ data }));
