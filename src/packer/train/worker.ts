/** A thread of a training: does what the team says, and says how it went. */
import { parentPort } from 'node:worker_threads';
import { type Memory, Replica, type Task } from './replica';
import type { Answer, Order } from './team';

const port = parentPort!;
const REPORT_MS = 500;
let replica: Replica | undefined;
const answer = (message: Answer): void => port.postMessage(message);

async function obey(order: Order): Promise<void> {
  if (order.kind === 'start') {
    replica = await Replica.create(order.task as Task, order.memory as Memory, order.index);
    answer({ kind: 'ready', executor: replica.executor });
    return;
  }
  if (order.kind === 'score') {
    await replica!.score(order.scoring);
    answer({ kind: 'scored' });
    return;
  }
  let last = 0;
  const outcome = await replica!.run(order.from, order.to, (step, loss) => {
    if (!order.reports || Date.now() - last < REPORT_MS) return;
    last = Date.now();
    answer({ kind: 'step', step, loss });
  });
  answer({ kind: 'done', outcome });
}

port.on('message', (order: Order) => {
  obey(order).catch((error: Error) => answer({ kind: 'failed', message: error.message }));
});
