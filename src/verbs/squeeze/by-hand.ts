import { readFile } from 'node:fs/promises';
import { basename, extname } from 'node:path';
import { UsageError } from '../../errors.js';
import type { Accuracy } from '../../metrics/accuracy.js';
import { featureKey } from '../../node/feature-store.js';
import type { MapFigures } from '../../report/comparison.js';
import { compressModel } from '../compress.js';
import { type Plan, parseYaml, planSchema } from '../recipe.js';
import { type SizeChange, sizeChange } from './figures.js';
import type { Workshop } from './workshop.js';

/** What tensor trains with ranks that a person chose come to, without any training: something to compare with. */
export interface ByHand {
  readonly name: string;
  readonly size: SizeChange;
  readonly accuracy: Accuracy;
  readonly maps?: MapFigures;
}

/** Reads a plan of ranks. Throws a UsageError with the place of every mistake. */
export async function readPlan(file: string): Promise<Plan> {
  const text = await readFile(file, 'utf8').catch(() => {
    throw new UsageError(`The plan "${file}" cannot be read.`);
  });
  return parseYaml(text, file, planSchema);
}

/** Squeezes the original by a plan file and measures it on the same images. */
export async function byHandOf(shop: Workshop, file: string): Promise<ByHand> {
  const { original, context } = shop;
  const ranks = { ...(await readPlan(file)), execution: 'rebuilt' as const };
  const { model } = await compressModel(original, ranks, {}, context);
  const { accuracy, maps } = await shop.lossOf(featureKey([shop.key, JSON.stringify(ranks)]), async () => model);
  const name = basename(file, extname(file));
  return { name, size: await sizeChange(original, model, model), accuracy, ...(maps ? { maps } : {}) };
}
