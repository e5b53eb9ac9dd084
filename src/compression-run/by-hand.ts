import { basename, extname } from 'node:path';
import { featureKey } from '../io/feature-store.js';
import type { Accuracy } from '../metrics/accuracy.js';
import { planSchema, readYaml } from '../recipes/recipe.js';
import type { MapFigures } from '../report/comparison.js';
import { compressModel } from '../workflows/compress.js';
import { type SizeChange, sizeChange } from './figures.js';
import type { Workshop } from './workshop.js';

/** What tensor trains with ranks that a person chose come to, without any training: something to compare with. */
export interface ByHand {
  readonly name: string;
  readonly size: SizeChange;
  readonly accuracy?: Accuracy;
  readonly maps?: MapFigures;
}

/** Squeezes the original by a plan file and measures it on the same images. */
export async function byHandOf(shop: Workshop, file: string): Promise<ByHand> {
  const { original, context } = shop;
  const ranks = { ...(await readYaml(file, 'plan', planSchema)), execution: 'rebuilt' as const };
  const { model } = await compressModel(original, ranks, {}, context);
  const { accuracy, maps } = await shop.lossOf(featureKey([shop.key, JSON.stringify(ranks)]), async () => model);
  const name = basename(file, extname(file));
  return {
    name,
    size: await sizeChange(await shop.size(), model, model),
    ...(accuracy ? { accuracy } : {}),
    ...(maps ? { maps } : {}),
  };
}
