import { join } from 'node:path';
import type { RunContext, RunOptions } from '../context/run-context.js';
import { resolveValidation } from '../images/open-dataset.js';
import type { LoadedModel } from '../io/models/model-file.js';
import { openModelSource } from '../io/models/model-source.js';
import { noWorkCache, openWorkCache } from '../io/work-cache.js';
import type { Accuracy } from '../metrics/accuracy.js';
import type { MapFigures } from '../report/comparison.js';
import { saveCompressed } from './compressed-file.js';
import { makeCandidateWithin, toCostedModel } from './compression-candidate.js';
import { withCompressionDatasets } from './compression-images.js';
import { pickSettings, type SweepOptions } from './compression-options.js';
import type { LimitGoal } from './compression-plan.js';
import { type CompressionSession, openCompressionSession } from './compression-session.js';
import { computeLimit, getMaxBytes, LimitUnreachable } from './cost-limit.js';
import { measureSizeChange, type SizeChange } from './size-figures.js';

/** Holds one limit of a sweep, and the model that keeps it. */
export interface SweepPoint {
  readonly goal: LimitGoal;
  /** In the unit of the goal. */
  readonly limit: number;
  /** The smallest that can be had, where the limit is below it. */
  readonly smallest?: number;
  readonly reached?: {
    /** The file that was written, where `output` names a folder; else the model itself. */
    readonly file?: string;
    readonly model?: LoadedModel;
    readonly size: SizeChange;
    readonly images: number;
    /** Absent where the validation images have no labels, as is what follows. */
    readonly accuracy?: Accuracy;
    readonly top1Drop?: number;
    /** Images for which both predict the same, in percent. */
    readonly agreement: number;
    readonly error: number;
    readonly divergence: number;
    readonly maps?: MapFigures;
    /** `PATH: tucker2 24, 48`. */
    readonly layers: readonly string[];
  };
}

/** Lists the options of a sweep without what belongs to a thread: all of it can be sent to another one. */
export type SweepSources = Omit<SweepOptions, keyof RunOptions>;

/** Opens what points are made from, calls `use` with it, and closes the images. */
export async function withSweepSession<T>(
  sources: SweepSources,
  goal: LimitGoal,
  context: RunContext,
  use: (session: CompressionSession) => Promise<T>,
): Promise<T> {
  const { work, seed = 42 } = sources;
  const model = await openModelSource(sources.model, sources, context);
  const plan = { ...pickSettings(sources), goal };
  const cache = work === undefined ? noWorkCache : openWorkCache(work);
  return withCompressionDatasets(sources, resolveValidation(sources), seed, context, async (sets) =>
    use(await openCompressionSession(model, sets, plan, context, cache)),
  );
}

/** Compresses to one limit, measures the model and saves it where a folder is given. */
export async function makeSweepPoint(
  session: CompressionSession,
  goal: LimitGoal,
  output: string | undefined,
): Promise<SweepPoint> {
  const { limit } = await computeLimit(toCostedModel(session), goal);
  try {
    const { stored, model, layers, loss } = await makeCandidateWithin(session, goal.kind, limit);
    const file = output === undefined ? undefined : join(output, `${goal.kind}-${limit}.onnx`);
    await saveCompressed(stored, file, getMaxBytes(session.original, goal), session.context);
    const chosen = layers.flatMap(({ path, scheme, ranks }) =>
      scheme ? [`${path}: ${scheme} ${ranks.join(', ')}`] : [],
    );
    return {
      goal,
      limit,
      reached: {
        ...(file === undefined ? { model: stored } : { file }),
        size: await measureSizeChange(await session.measureOriginalSize(), stored, model),
        ...loss,
        layers: chosen,
      },
    };
  } catch (error) {
    if (error instanceof LimitUnreachable) return { goal, limit, smallest: error.smallest };
    throw error;
  }
}
