/** The threads of a training: one in this thread, or several workers. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { WaferError } from '../../core/errors';
import { optionalPackage } from '../optional';
import type { ExecutorName } from './executor';
import { abort, type Memory, type Outcome, Replica, type Task } from './replica';
import type { Scoring } from './scores';

export type Order =
  | { kind: 'start'; task: Task; memory: Memory; index: number }
  | { kind: 'score'; scoring: Scoring }
  | { kind: 'run'; from: number; to: number; reports: boolean };

export type Answer =
  | { kind: 'ready'; executor: ExecutorName }
  | { kind: 'scored' }
  | { kind: 'step'; step: number; loss: number }
  | { kind: 'done'; outcome: Outcome }
  | { kind: 'failed'; message: string };

export type OnStep = (step: number, loss: number) => void;

export interface Team {
  readonly executor: ExecutorName;
  /** Fills in the scores. Throws where a thread fails. */
  score(scoring: Scoring): Promise<void>;
  /** Makes steps `from` to `to`. Throws where a thread fails. */
  run(from: number, to: number, onStep: OnStep): Promise<Outcome>;
  dispose(): Promise<void>;
}

/** Starts the threads that `task` asks for. */
export async function makeTeam(task: Task, memory: Memory): Promise<Team> {
  if (task.threads > 1) return startWorkers(task, memory);
  const replica = await Replica.create(task, memory, 0);
  return {
    executor: replica.executor,
    score: (scoring) => replica.score(scoring),
    run: (from, to, onStep) => replica.run(from, to, onStep),
    dispose: () => replica.dispose(),
  };
}

async function startWorkers(task: Task, memory: Memory): Promise<Team> {
  const make = await workerMaker();
  const workers = Array.from({ length: task.threads }, make);
  const failed = (message: string) => new WaferError('DISPOSED', `a thread of the training failed: ${message}`);
  /** Sends each worker its order and waits for every last answer. */
  const ask = (order: (index: number) => Order, onStep?: OnStep): Promise<Answer[]> =>
    Promise.all(
      workers.map(
        (worker, index) =>
          new Promise<Answer>((resolve, reject) => {
            const end = (error: WaferError | undefined, result?: Answer) => {
              worker.off('message', onMessage).off('error', onError).off('exit', onExit);
              if (!error) return resolve(result!);
              abort(memory);
              reject(error);
            };
            const onMessage = (message: Answer) => {
              if (message.kind === 'step') onStep?.(message.step, message.loss);
              else if (message.kind === 'failed') end(failed(message.message));
              else end(undefined, message);
            };
            const onError = (error: Error) => end(failed(error.message));
            const onExit = () => end(failed('it ended'));
            worker.on('message', onMessage).on('error', onError).on('exit', onExit);
            worker.postMessage(order(index));
          }),
      ),
    );
  const dispose = async () => {
    await Promise.all(workers.map((worker) => worker.terminate()));
  };
  try {
    const [first] = await ask((index) => ({ kind: 'start', task, memory, index }));
    return {
      executor: (first as Extract<Answer, { kind: 'ready' }>).executor,
      async score(scoring) {
        await ask(() => ({ kind: 'score', scoring }));
      },
      async run(from, to, onStep) {
        const [answer] = await ask((index) => ({ kind: 'run', from, to, reports: index === 0 }), onStep);
        return (answer as Extract<Answer, { kind: 'done' }>).outcome;
      },
      dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** The workers' script is a file beside the command line's; where the sources run themselves, it is bundled on the spot. */
async function workerMaker(): Promise<() => Worker> {
  const built = new URL('./train.worker.mjs', import.meta.url);
  if (existsSync(fileURLToPath(built))) return () => new Worker(built);
  const esbuild = await optionalPackage<typeof import('esbuild')>('esbuild', 'train from the sources');
  const { outputFiles } = await esbuild.build({
    entryPoints: [fileURLToPath(new URL('./worker.ts', import.meta.url))],
    ...{
      bundle: true,
      write: false,
      platform: 'node',
      format: 'cjs',
      target: 'node20',
      external: ['onnxruntime-node', 'protobufjs'],
    },
  });
  return () => new Worker(outputFiles[0]!.text, { eval: true });
}
