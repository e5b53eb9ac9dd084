import { join } from 'node:path';
import { tellNotes, type VerbContext } from '../context/context.js';
import { type OpenOptions, openModel } from '../io/models/model-file.js';
import { saveModel } from '../io/models/save-model.js';
import { folderMemory } from '../io/work-memory.js';
import type { Accuracy } from '../metrics/accuracy.js';
import type { MapFigures } from '../report/comparison.js';
import { candidateWithin, costedOf } from './candidate.js';
import { bytesAllowed, type Cost, limitOf, OutOfReach } from './cost.js';
import { type SizeChange, sizeChange } from './figures.js';
import type { SqueezePlan } from './goal.js';
import { type SqueezeSources, withSqueezeSets } from './images.js';
import { openWorkshop, type Workshop } from './workshop.js';

/** A plan whose goal is a limit of its cost. */
export type LimitPlan = SqueezePlan & { readonly goal: { readonly kind: Cost } };

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
export interface SweepFiles extends SqueezeSources, OpenOptions {
  readonly model: string;
  /** Where squeezed models go, and where the work is kept. */
  readonly output: string;
  readonly work: string;
}

/** Opens what points are made from, runs something with it, and closes the images. */
export async function withWorkshop<T>(
  files: SweepFiles,
  plan: SqueezePlan,
  context: VerbContext,
  use: (shop: Workshop) => Promise<T>,
): Promise<T> {
  const model = await openModel(files.model, files);
  tellNotes(model, context);
  return withSqueezeSets(files, plan.seed ?? 42, context, async (sets) =>
    use(await openWorkshop(model, sets, plan, context, folderMemory(files.work))),
  );
}

/** Makes, measures and saves one point. */
export async function sweepPoint(shop: Workshop, goal: LimitPlan['goal'], output: string): Promise<SweepPoint> {
  const { limit } = await limitOf(costedOf(shop), goal);
  try {
    const { stored, model, layers, loss } = await candidateWithin(shop, goal.kind, limit);
    const { file } = await saveModel(stored, join(output, `${goal.kind}-${limit}.onnx`), {
      engine: shop.engine,
      ...bytesAllowed(shop.original, goal),
    });
    const chosen = layers.flatMap(({ path, scheme, ranks }) =>
      scheme ? [`${path}: ${scheme} ${ranks.join(', ')}`] : [],
    );
    return {
      goal,
      limit,
      reached: { file, size: await sizeChange(await shop.size(), stored, model), ...loss, layers: chosen },
    };
  } catch (error) {
    if (error instanceof OutOfReach) return { goal, limit, smallest: error.smallest };
    throw error;
  }
}
