import { existsSync } from 'node:fs';
import { availableParallelism, freemem } from 'node:os';
import { basename, extname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { ProgressEvent, RunContext } from '../context/run-context.js';
import { ShiboriError, UsageError } from '../errors.js';
import { buildDataOrigin, collectProvenance } from '../evaluation/collect-provenance.js';
import type { OpenOptions } from '../io/models/model-file.js';
import { unpackError } from '../io/packed-error.js';
import { clearWorkCache } from '../io/work-cache.js';
import type { Accuracy } from '../metrics/accuracy.js';
import { formatPercent } from '../report/format.js';
import { defined } from '../values.js';
import { planSweep } from '../workflows/planned-phases.js';
import { resolveWorkFolder } from './compress-to-goal.js';
import { measureTrainedControl } from './compression-candidate.js';
import type { CompressionSources } from './compression-images.js';
import type { Amount, CompressionPlan } from './compression-plan.js';
import type { CompressionSession } from './compression-session.js';
import { writeCompressionPage } from './describe-compression.js';
import { describeSweep } from './describe-sweep.js';
import { type GivenRanksBaseline, measureGivenRanksBaseline } from './given-ranks-baseline.js';
import type { MeasuredLoss } from './measured-loss.js';
import {
  type LimitPlan,
  makeSweepPoint,
  type SweepFiles,
  type SweepPoint,
  withCompressionSession,
} from './sweep-point.js';
import type { SweepMessage, SweepWorkerData } from './sweep-worker.js';

/** Sizes of a sweep, and how each is reached. */
export interface SweepPlan extends Omit<CompressionPlan, 'goal'> {
  readonly cost: LimitPlan['goal']['kind'];
  /** Default: 3, 5, 7, 10, 15, 25, 40 and 60 %. */
  readonly amounts?: readonly Amount[];
}

/** Options of a sweep over files. */
export interface SweepFileOptions extends CompressionSources, OpenOptions {
  /** Folder for models, `report.html` and `report.json`. Default: `shibori-out/sweep/MODEL`. */
  readonly output?: string;
  /** Where the work is kept. Default: as of `compress`, which then has it, too. */
  readonly work?: string;
  readonly fresh?: boolean;
  /** Points made at once. Default: as many as the machine has cores and memory for. */
  readonly jobs?: number;
}

/** A curve of sizes against what survives. */
export interface Sweep {
  /** Absent where the validation images have no labels. */
  readonly before?: Accuracy;
  /** Validation images. */
  readonly images: number;
  readonly points: readonly SweepPoint[];
  readonly byHand?: GivenRanksBaseline;
  /** The dense original after the same training, where it was asked for. */
  readonly control?: Pick<MeasuredLoss, 'accuracy' | 'maps'>;
  readonly output: string;
  readonly page: string;
  readonly jobs: number;
  readonly seconds: number;
}

const DEFAULT_AMOUNTS: readonly Amount[] = [0.03, 0.05, 0.07, 0.1, 0.15, 0.25, 0.4, 0.6].map((share) => ({ share }));
/** What one point takes of memory: calibration images, activations of two networks, statistics. */
const JOB_BYTES = 4e9;
/** The threads' compiled program; beside TypeScript sources there is none, and points are made one after another. */
const WORKER_ENTRY = new URL('./sweep-worker.js', import.meta.url);

function countJobs(points: number, wanted: number | undefined): number {
  if (wanted !== undefined && !(Number.isInteger(wanted) && wanted >= 1)) {
    throw new UsageError(`\`jobs\` must be a whole number of at least 1, found ${wanted}.`, { option: 'jobs' });
  }
  if (!existsSync(WORKER_ENTRY)) return 1;
  const room = Math.max(1, Math.floor(freemem() / JOB_BYTES));
  return Math.min(points, wanted ?? Math.min(availableParallelism(), room));
}

/** Makes points in threads of their own, each of which takes the next one when it is done. */
async function makePointsInThreads(
  files: SweepFiles,
  plan: CompressionPlan,
  goals: readonly LimitPlan['goal'][],
  jobs: number,
  context: RunContext,
  onPoint: (point: SweepPoint, index: number) => void,
): Promise<void> {
  const cores = context.threads ?? availableParallelism();
  const workerData: SweepWorkerData = { files, plan, threads: Math.max(1, Math.floor(cores / jobs)) };
  const waiting = goals.map((goal, index) => ({ goal, index }));
  const threads: Worker[] = [];
  const work = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(WORKER_ENTRY, { workerData, name: 'shibori sweep', execArgv: [] });
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
    // What they have kept in the work folder is whole at any moment.
    await Promise.all(threads.map((thread) => thread.terminate()));
  }
}

async function makePointsInOrder(
  session: CompressionSession,
  goals: readonly LimitPlan['goal'][],
  output: string,
  onPoint: (point: SweepPoint, index: number) => void,
): Promise<void> {
  for (const [index, goal] of goals.entries()) {
    session.context.signal?.throwIfAborted();
    onPoint(await makeSweepPoint(session, goal, output), index);
  }
}

/**
 * Squeezes a model file to many sizes: the curve of size against accuracy and maps. Points that are there already are not
 * made again, so that the same call goes on where one was stopped.
 *
 * @throws as `squeeze`.
 */
export async function sweep(
  file: string,
  plan: SweepPlan,
  options: SweepFileOptions,
  context: RunContext = {},
): Promise<Sweep> {
  const start = performance.now();
  const name = basename(file, extname(file));
  const output = options.output ?? join('shibori-out', 'sweep', name);
  const work = resolveWorkFolder(file, options.work);
  if (options.fresh) await clearWorkCache(work);
  const { cost, amounts = DEFAULT_AMOUNTS, ...rest } = plan;
  const goals = amounts.map((most): LimitPlan['goal'] => ({ kind: cost, most }));
  const [first] = goals;
  if (!first) throw new UsageError('A sweep needs at least one size.');
  const files: SweepFiles = { ...options, model: file, output, work };
  const jobs = countJobs(goals.length, options.jobs);
  const points: SweepPoint[] = [];
  let isMaking = false;
  // What is done for a point made in this thread is shown on the one line of all points.
  const onProgress = (event: ProgressEvent) => {
    const done = points.filter(Boolean).length;
    const shown = isMaking ? { phase: 'points', done, total: goals.length, fields: { now: event.phase } } : event;
    context.onProgress?.(shown);
  };
  const onPoint = (point: SweepPoint, index: number) => {
    points[index] = point;
    const found = point.reached;
    const fields = found
      ? { size: found.size.after.parameters, ...(found.accuracy ? { top1: formatPercent(found.accuracy.top1) } : {}) }
      : {};
    context.onProgress?.({ phase: 'points', done: points.filter(Boolean).length, total: goals.length, fields });
  };
  const { before, images, byHand, control, provenance } = await withCompressionSession(
    files,
    { ...rest, goal: first },
    { ...context, onProgress },
    async (session) => {
      const { train: learnt, validation: measured } = session.sets;
      const counts = { train: learnt.source.items.length, validation: measured.source.items.length };
      context.onPhases?.(planSweep(rest, counts, goals.length));
      // Everything that points have in common is made here, once.
      const { accuracy, images } = await session.getOriginalPredictions();
      await session.getAnalysedNetwork();
      isMaking = true;
      context.onProgress?.({ phase: 'points', done: 0, total: goals.length });
      if (jobs === 1) await makePointsInOrder(session, goals, output, onPoint);
      else await makePointsInThreads(files, { ...rest, goal: first }, goals, jobs, context, onPoint);
      const { train, validation } = session.sets;
      const calibrated = (await session.getCalibrationImages()).reduce((sum, { dims }) => sum + (dims[0] ?? 0), 0);
      const provenance = await collectProvenance(
        {
          models: [{ name: 'original', model: session.original, files: [file] }],
          data: [buildDataOrigin('calibration', train, calibrated), buildDataOrigin('measured', validation, images)],
          seed: plan.seed ?? 42,
        },
        context,
      );
      const byHand =
        plan.baselinePlan === undefined ? undefined : await measureGivenRanksBaseline(session, plan.baselinePlan);
      const control = plan.control && plan.finetuneEpochs ? await measureTrainedControl(session) : undefined;
      return { before: accuracy, images, byHand, control, provenance };
    },
  );
  const found = {
    ...defined({ before }),
    images,
    points,
    ...defined({ byHand, control }),
    output,
    jobs,
    seconds: (performance.now() - start) / 1000,
  };
  return {
    ...found,
    page: await writeCompressionPage(output, describeSweep(found, basename(file), provenance), found),
  };
}
