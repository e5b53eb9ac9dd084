import { existsSync } from 'node:fs';
import { availableParallelism, freemem } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { RunContext } from '../context/run-context.js';
import { ShiboriError, UsageError } from '../errors.js';
import { unpackError } from '../io/packed-error.js';
import type { LimitGoal } from './compression-plan.js';
import type { SweepPoint, SweepSources } from './sweep-point.js';
import type { SweepMessage, SweepWorkerData } from './sweep-worker.js';

/** Describes a sweep as it is carried out. */
export interface PlannedSweep {
  readonly sources: SweepSources;
  readonly goals: readonly LimitGoal[];
  /** Points made at once. */
  readonly jobs: number;
}

/** Receives a point and its position among the goals. */
export type OnPoint = (point: SweepPoint, index: number) => void;

/** Memory that one point takes: calibration images, activations of two networks, statistics. */
const JOB_BYTES = 4e9;
/** The threads' compiled program; next to TypeScript sources there is none, and points are made one after another. */
const WORKER_ENTRY = new URL('./sweep-worker.js', import.meta.url);

/** Counts the points made at once: more than one only where a thread can open model and images again. */
export function countJobs({ model, data, validationData, output, work, jobs }: SweepSources, points: number): number {
  if (jobs !== undefined && !(Number.isInteger(jobs) && jobs >= 1)) {
    throw new UsageError(`\`jobs\` must be a whole number of at least 1, found ${jobs}.`, { option: 'jobs' });
  }
  const areNames = [model, data, validationData ?? ''].every((source) => typeof source === 'string');
  if (!areNames || output === undefined || work === undefined || !existsSync(WORKER_ENTRY)) return 1;
  const room = Math.max(1, Math.floor(freemem() / JOB_BYTES));
  return Math.min(points, jobs ?? Math.min(availableParallelism(), room));
}

/** Makes points in threads, each of which takes the next one when it is free. */
export async function makePointsInThreads(
  { sources, goals, jobs }: PlannedSweep,
  context: RunContext,
  onPoint: OnPoint,
): Promise<void> {
  const [goal] = goals;
  if (!goal) return;
  const cores = context.threads ?? availableParallelism();
  const workerData: SweepWorkerData = { sources, goal, threads: Math.max(1, Math.floor(cores / jobs)) };
  const waiting = goals.map((each, index) => ({ goal: each, index }));
  const threads: Worker[] = [];
  const work = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(WORKER_ENTRY, { workerData, name: 'sweep', execArgv: [] });
      threads.push(worker);
      let own: (typeof waiting)[number] | undefined;
      const next = () => {
        own = waiting.shift();
        if (own) worker.postMessage(own.goal);
        else resolve();
      };
      worker.on('message', (message: SweepMessage) => {
        if ('error' in message) reject(unpackError(message.error));
        else if ('point' in message && own) {
          onPoint(message.point, own.index);
          next();
        }
      });
      worker.on('error', reject);
      worker.on('exit', (code) =>
        reject(new ShiboriError(`A thread of the sweep ended with exit code ${code}.`, { code: 'unsupported-model' })),
      );
      next();
    });
  const stop = new Promise<never>((_, reject) => {
    const abort = () => reject(context.signal?.reason);
    if (context.signal?.aborted) abort();
    context.signal?.addEventListener('abort', abort, { once: true });
  });
  try {
    await Promise.race([Promise.all(Array.from({ length: jobs }, work)), stop]);
  } finally {
    // What they keep in the work folder is whole at any second moment.
    await Promise.all(threads.map((thread) => thread.terminate()));
  }
}
