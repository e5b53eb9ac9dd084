import { basename, extname } from 'node:path';
import { computeCacheKey } from '../io/feature-cache.js';
import type { Accuracy } from '../metrics/accuracy.js';
import { rankPlanSchema, readYaml } from '../recipes/recipe.js';
import type { MapFigures } from '../report/comparison.js';
import { defined } from '../values.js';
import { compressModelWithRanks } from './compress-with-ranks.js';
import type { CompressionSession } from './compression-session.js';
import { measureSizeChange, type SizeChange } from './size-figures.js';

/** What tensor trains with ranks that a person chose amount to, without any training: something to compare with. */
export interface GivenRanksBaseline {
  readonly name: string;
  readonly size: SizeChange;
  readonly accuracy?: Accuracy;
  readonly maps?: MapFigures;
}

/** Compresses the original by a plan file and measures it on the same images. */
export async function measureGivenRanksBaseline(
  session: CompressionSession,
  file: string,
): Promise<GivenRanksBaseline> {
  const { original, context } = session;
  const ranks = { ...(await readYaml(file, 'plan', rankPlanSchema, context.onNote)), execution: 'rebuilt' as const };
  const { model } = await compressModelWithRanks(original, ranks, {}, context);
  const { accuracy, maps } = await session.measureLoss(
    computeCacheKey([session.key, JSON.stringify(ranks)]),
    async () => model,
  );
  const name = basename(file, extname(file));
  return {
    name,
    size: await measureSizeChange(await session.measureOriginalSize(), model, model),
    ...defined({ accuracy, maps }),
  };
}
