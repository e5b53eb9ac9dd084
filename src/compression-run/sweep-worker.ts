/*
 * The program of a thread that makes points of a sweep, one after another: started by `sweep-sizes.ts`. What all points have
 * in common it finds in the work folder.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { type PackedError, packError } from '../io/packed-error.js';
import type { LimitGoal } from './compression-plan.js';
import type { CompressionSession } from './compression-session.js';
import { makeSweepPoint, type SweepPoint, type SweepSources, withSweepSession } from './sweep-point.js';

/** Holds what a thread is started with: `goal` is any of the sweep's. */
export interface SweepWorkerData {
  readonly sources: SweepSources;
  readonly goal: LimitGoal;
  readonly threads: number;
}

/** Describes what a thread sends: how far it is, a point that is made, or an error. */
export type SweepMessage =
  | { readonly phase: string }
  | { readonly point: SweepPoint }
  | { readonly error: PackedError };

const { sources, goal, threads }: SweepWorkerData = workerData;
const send = (message: SweepMessage): void => parentPort?.postMessage(message);
const context = { threads, workers: 0, onProgress: ({ phase }: { readonly phase: string }) => send({ phase }) };

/** Makes points for goals as they come, until the port is closed. */
function serveGoals(session: CompressionSession): Promise<never> {
  let queue = Promise.resolve();
  return new Promise((_, reject) => {
    parentPort?.on('message', (next: LimitGoal) => {
      queue = queue
        .then(async () => send({ point: await makeSweepPoint(session, next, sources.output) }))
        .catch(reject);
    });
  });
}

withSweepSession(sources, goal, context, serveGoals).catch((error: unknown) => send({ error: packError(error) }));
