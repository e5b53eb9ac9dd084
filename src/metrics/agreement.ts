/* How well the maps of two models agree over many images. */
import { isConstantMap, pearson } from './pearson.js';
import { median } from './speed.js';

/** Agreement of two models' maps, where it is defined, and how often it is not. */
export interface Agreement {
  /** Images whose maps were compared. */
  readonly images: number;
  /** Pearson's correlation over the images where both maps vary; `null` where there is no such image. */
  readonly pearson: { readonly mean: number; readonly min: number; readonly median: number } | null;
  /** Images whose agreement is not defined because a map is constant (all zeros, as a rule). No part of `pearson`. */
  readonly undefined: number;
  /** Constant maps of each model. */
  readonly constantMaps: { readonly before: number; readonly after: number };
}

/** Pixels of one map. */
export type Pixels = ArrayLike<number>;

/** Correlates the maps of each image; `undefined` where one is constant. */
export function correlateMaps(before: readonly Pixels[], after: readonly Pixels[]): (number | undefined)[] {
  return before.map((map, i) => pearson(map, after[i] ?? []));
}

/** Summarises the agreement of the maps of two models, image by image. */
export function measureAgreement(before: readonly Pixels[], after: readonly Pixels[]): Agreement {
  const defined = correlateMaps(before, after).filter((r) => r !== undefined);
  const sorted = defined.toSorted((a, b) => a - b);
  const [min] = sorted;
  return {
    images: before.length,
    pearson:
      min === undefined
        ? null
        : { mean: defined.reduce((sum, r) => sum + r, 0) / defined.length, min, median: median(sorted) },
    undefined: before.length - defined.length,
    constantMaps: {
      before: before.filter(isConstantMap).length,
      after: after.filter(isConstantMap).length,
    },
  };
}

/**
 * The mean correlation that a bound on the agreement is held against: a map that only one of the models lost counts as 0,
 * or a model that explains nothing any more would pass. Images on which both maps are constant say nothing and are left
 * out; 0 where there is no other image.
 */
export function computeBoundedAgreement({
  images,
  pearson: found,
  undefined: either,
  constantMaps,
}: Agreement): number {
  const { before, after } = constantMaps;
  const both = before + after - either;
  return found ? (found.mean * (images - either)) / (images - both) : 0;
}

/** The mean correlation as text; says why where there is none. */
export function formatAgreement({ pearson: found, images }: Pick<Agreement, 'pearson' | 'images'>): string {
  return found ? found.mean.toFixed(3) : `not defined (a constant map on each of ${images} images)`;
}

/** A sentence about constant maps; `undefined` where there are none. */
export function describeConstantMaps({ images, undefined: either, constantMaps }: Agreement): string | undefined {
  const { before, after } = constantMaps;
  if (either === 0) return undefined;
  return `The agreement is not defined for ${either} of ${images} images, where a map is constant (before: ${before}, after: ${after}); these are not part of it`;
}
