/** A thread of Node that claims chunks and never computes them, as one does that the system has killed. */
import { parentPort } from 'node:worker_threads';
import { CLAIM, isOpen, JOINED, type Join } from '../../src/runtime/wasm/team';

parentPort!.once('message', ({ control }: Join) => {
  Atomics.add(control, JOINED, 1);
  for (;;) {
    const claim = Atomics.load(control, CLAIM);
    if (isOpen(claim)) Atomics.compareExchange(control, CLAIM, claim, claim + 1);
  }
});
