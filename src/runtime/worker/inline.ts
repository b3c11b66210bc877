/** The script of the worker that the bundles start from a Blob: the page sends it the binaries. */
import { serve, type WorkerScope } from './serve';

serve(self as unknown as WorkerScope);
