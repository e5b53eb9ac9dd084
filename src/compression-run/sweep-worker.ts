/*
 * The program of a thread that makes points of a sweep, one after another: started by sweep.ts. What all points have in
 * common it finds in the work folder.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { type PackedError, packError } from '../io/packed-error.js';
import type { CompressionPlan } from './compression-plan.js';
import type { CompressionSession } from './compression-session.js';
import {
  type LimitPlan,
  makeSweepPoint,
  type SweepFiles,
  type SweepPoint,
  withCompressionSession,
} from './sweep-point.js';

/** What a thread is started with. */
export interface SweepWorkerData {
  readonly files: SweepFiles;
  readonly plan: CompressionPlan;
  readonly threads: number;
}

/** What it says: how far it is, what came of a point, or what went wrong. */
export type SweepMessage =
  | { readonly phase: string }
  | { readonly point: SweepPoint }
  | { readonly error: PackedError };

const { files, plan, threads }: SweepWorkerData = workerData;
const send = (message: SweepMessage): void => parentPort?.postMessage(message);
const context = { threads, workers: 0, onProgress: ({ phase }: { readonly phase: string }) => send({ phase }) };

/** Goals as they come, until the port is closed. */
function serveGoals(session: CompressionSession): Promise<never> {
  let queue = Promise.resolve();
  return new Promise((_, reject) => {
    parentPort?.on('message', (goal: LimitPlan['goal']) => {
      queue = queue.then(async () => send({ point: await makeSweepPoint(session, goal, files.output) })).catch(reject);
    });
  });
}

withCompressionSession(files, plan, context, serveGoals).catch((error: unknown) => send({ error: packError(error) }));
