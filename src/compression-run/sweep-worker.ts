/*
 * The program of a thread that makes points of a sweep, one after another: started by sweep.ts. What all points have in
 * common it finds in the work folder.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { type PackedError, packError } from '../io/packed-error.js';
import type { SqueezePlan } from './goal.js';
import { type LimitPlan, type SweepFiles, type SweepPoint, sweepPoint, withWorkshop } from './sweep-point.js';
import type { Workshop } from './workshop.js';

/** What a thread is started with. */
export interface SweepWorkerData {
  readonly files: SweepFiles;
  readonly plan: SqueezePlan;
  readonly threads: number;
}

/** What it says: how far it is, what came of a point, or what went wrong. */
export type SweepMessage =
  | { readonly stage: string }
  | { readonly point: SweepPoint }
  | { readonly error: PackedError };

const { files, plan, threads }: SweepWorkerData = workerData;
const send = (message: SweepMessage): void => parentPort?.postMessage(message);
const context = { threads, workers: 0, onProgress: ({ stage }: { readonly stage: string }) => send({ stage }) };

/** Goals as they come, until the port is closed. */
function serve(shop: Workshop): Promise<never> {
  let line = Promise.resolve();
  return new Promise((_, reject) => {
    parentPort?.on('message', (goal: LimitPlan['goal']) => {
      line = line.then(async () => send({ point: await sweepPoint(shop, goal, files.output) })).catch(reject);
    });
  });
}

withWorkshop(files, plan, context, serve).catch((error: unknown) => send({ error: packError(error) }));
