import { join } from 'node:path';
import { type RunContext, reportNotes } from '../context/run-context.js';
import { type OpenOptions, openModel } from '../io/models/model-file.js';
import { saveModel } from '../io/models/save-model.js';
import { openWorkCache } from '../io/work-cache.js';
import type { Accuracy } from '../metrics/accuracy.js';
import type { MapFigures } from '../report/comparison.js';
import { makeCandidateWithin, toCostedModel } from './compression-candidate.js';
import { type CompressionSources, withCompressionDatasets } from './compression-images.js';
import type { CompressionPlan } from './compression-plan.js';
import { type CompressionSession, openCompressionSession } from './compression-session.js';
import { type Cost, computeLimit, getMaxBytes, LimitUnreachable } from './cost-limit.js';
import { measureSizeChange, type SizeChange } from './size-figures.js';

/** A plan whose goal is a limit of its cost. */
export type LimitPlan = CompressionPlan & { readonly goal: { readonly kind: Cost } };

/** One size of a sweep, and what it came to. */
export interface SweepPoint {
  readonly goal: LimitPlan['goal'];
  /** In the unit of the goal. */
  readonly limit: number;
  /** The smallest that can be had, where the limit is below it. */
  readonly smallest?: number;
  readonly reached?: {
    readonly file: string;
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

/** Files of a sweep, in a form that another thread can be told. */
export interface SweepFiles extends CompressionSources, OpenOptions {
  readonly model: string;
  /** Where squeezed models go, and where the work is kept. */
  readonly output: string;
  readonly work: string;
}

/** Opens what points are made from, runs something with it, and closes the images. */
export async function withCompressionSession<T>(
  files: SweepFiles,
  plan: CompressionPlan,
  context: RunContext,
  use: (shop: CompressionSession) => Promise<T>,
): Promise<T> {
  const model = await openModel(files.model, files);
  reportNotes(model, context);
  return withCompressionDatasets(files, plan.seed ?? 42, context, async (sets) =>
    use(await openCompressionSession(model, sets, plan, context, openWorkCache(files.work))),
  );
}

/** Makes, measures and saves one point. */
export async function makeSweepPoint(
  session: CompressionSession,
  goal: LimitPlan['goal'],
  output: string,
): Promise<SweepPoint> {
  const { limit } = await computeLimit(toCostedModel(session), goal);
  try {
    const { stored, model, layers, loss } = await makeCandidateWithin(session, goal.kind, limit);
    const { file } = await saveModel(stored, join(output, `${goal.kind}-${limit}.onnx`), {
      engine: session.engine,
      ...getMaxBytes(session.original, goal),
    });
    const chosen = layers.flatMap(({ path, scheme, ranks }) =>
      scheme ? [`${path}: ${scheme} ${ranks.join(', ')}`] : [],
    );
    return {
      goal,
      limit,
      reached: {
        file,
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
