import type { ProgressEvent, RunContext } from '../context/run-context.js';
import { buildDataOrigin, collectProvenance } from '../evaluation/collect-provenance.js';
import { clearWorkCache } from '../io/work-cache.js';
import type { Accuracy } from '../metrics/accuracy.js';
import { formatPercent } from '../report/format.js';
import { defined } from '../values.js';
import { getModelTitle, listSourceFiles } from './compressed-file.js';
import { measureTrainedControl } from './compression-candidate.js';
import type { SweepOptions } from './compression-options.js';
import { planSweep } from './compression-phases.js';
import { resolveSweepLimits } from './compression-plan.js';
import type { CompressionSession } from './compression-session.js';
import { writeCompressionPage } from './describe-compression.js';
import { describeSweep } from './describe-sweep.js';
import { type GivenRanksBaseline, measureGivenRanksBaseline } from './given-ranks-baseline.js';
import type { MeasuredLoss } from './measured-loss.js';
import { makeSweepPoint, type SweepPoint, type SweepSources, withSweepSession } from './sweep-point.js';
import { countJobs, makePointsInThreads, type OnPoint, type PlannedSweep } from './sweep-threads.js';

/** Holds the measured figures of a sweep. */
export interface SweepFigures {
  /** Accuracy of the original. Absent where the validation images have no labels. */
  readonly before?: Accuracy;
  /** Validation images. */
  readonly images: number;
  readonly points: readonly SweepPoint[];
  readonly byHand?: GivenRanksBaseline;
  /** The dense original after the same training, where it was asked for. */
  readonly control?: Pick<MeasuredLoss, 'accuracy' | 'maps'>;
}

/** Holds a curve of sizes against accuracy and maps. */
export interface SweepResult extends SweepFigures {
  /** The folder of the models, where one was given. */
  readonly output?: string;
  /** The page of the report, where one was asked for. */
  readonly page?: string;
  readonly jobs: number;
  readonly seconds: number;
}

const DEFAULT_LIMITS = { parameters: [0.03, 0.05, 0.07, 0.1, 0.15, 0.25, 0.4, 0.6] };

/** Drops what belongs to this thread from the options of a sweep. */
function toSources(options: SweepOptions): SweepSources {
  const { engine, threads, workers, onProgress, onPhases, onWarning, onNote, command, signal, ...sources } = options;
  return sources;
}

/** Reports points, and shows the work on one that is made in this thread on the one line of all points. */
function trackPoints(total: number, context: RunContext) {
  const points: SweepPoint[] = [];
  let isMaking = false;
  const report = (fields: Readonly<Record<string, string | number>>) =>
    context.onProgress?.({ phase: 'points', done: points.filter(Boolean).length, total, fields });
  return {
    points,
    start() {
      isMaking = true;
      report({});
    },
    onProgress(event: ProgressEvent) {
      if (isMaking) report({ now: event.phase });
      else context.onProgress?.(event);
    },
    onPoint(point: SweepPoint, index: number) {
      points[index] = point;
      const { size, accuracy } = point.reached ?? {};
      const top1 = accuracy && formatPercent(accuracy.top1);
      report(size ? { size: size.after.parameters, ...defined({ top1 }) } : {});
    },
  };
}

async function makePointsInOrder(
  session: CompressionSession,
  { sources, goals }: PlannedSweep,
  onPoint: OnPoint,
): Promise<void> {
  for (const [index, goal] of goals.entries()) {
    session.context.signal?.throwIfAborted();
    onPoint(await makeSweepPoint(session, goal, sources.output), index);
  }
}

/**
 * Compresses a model to many sizes: the curve of size against accuracy and maps. Points that are in the work folder already
 * are not made again: the same call resumes where one was stopped.
 *
 * @throws as `compress`.
 */
export async function sweepSizes(options: SweepOptions): Promise<SweepResult> {
  const start = performance.now();
  const { output, work, report, baselinePlan, finetuneEpochs } = options;
  if (options.fresh && work !== undefined) await clearWorkCache(work);
  const goals = resolveSweepLimits(options.limits ?? DEFAULT_LIMITS);
  const [first] = goals;
  if (!first) throw new Error('A sweep has at least one limit.');
  const sources = toSources(options);
  const planned: PlannedSweep = { sources, goals, jobs: countJobs(sources, goals.length) };
  const tracked = trackPoints(goals.length, options);
  const context: RunContext = { ...options, onProgress: tracked.onProgress };
  return withSweepSession(sources, first, context, async (session) => {
    const { original, sets } = session;
    const counts = { train: sets.train.source.items.length, validation: sets.validation.source.items.length };
    options.onPhases?.(planSweep(options, counts, goals.length));
    // Everything that points have in common is computed here, once.
    const { accuracy: before, images } = await session.getOriginalPredictions();
    await session.getOriginalMaps?.();
    await session.getAnalysedNetwork();
    tracked.start();
    if (planned.jobs === 1) await makePointsInOrder(session, planned, tracked.onPoint);
    else await makePointsInThreads(planned, options, tracked.onPoint);
    const provenance = await collectProvenance(
      {
        models: [{ name: 'original', model: original, files: listSourceFiles(original) }],
        data: [
          buildDataOrigin('calibration', sets.train, await session.countCalibrationImages()),
          buildDataOrigin('measured', sets.validation, images),
        ],
        seed: options.seed ?? 42,
      },
      options,
    );
    const byHand = baselinePlan === undefined ? undefined : await measureGivenRanksBaseline(session, baselinePlan);
    const control = options.control && finetuneEpochs ? await measureTrainedControl(session) : undefined;
    const found: SweepResult = {
      ...defined({ before }),
      images,
      points: tracked.points,
      ...defined({ byHand, control, output }),
      jobs: planned.jobs,
      seconds: (performance.now() - start) / 1000,
    };
    if (report === undefined) return found;
    const page = describeSweep(found, getModelTitle(original), provenance);
    return { ...found, page: await writeCompressionPage(report, page, found) };
  });
}
