/**
 * `dist/wafer.worker.js`: a worker with all it needs, to be hosted beside the page. Under `default-src 'self'` this is
 * the one place where WebAssembly may be compiled, as a worker's file answers to the policy of its own response.
 */
import { code } from '../code';
import { serve, type WorkerScope } from './serve';

serve(self as unknown as WorkerScope, code);
