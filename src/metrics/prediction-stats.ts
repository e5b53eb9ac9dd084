/*
 * Whether predictions look like those of a model that was fed something else than it was trained on: its accuracy is no
 * better than guessing, it says the same of every image, or it says nothing of any.
 */
import type { Tensor } from '../tensor/tensor.js';

/** Fewest images for a verdict on the accuracy. */
const IMAGES_TO_COUNT = 100;
/** Fewest images for a verdict on the predictions themselves. */
const IMAGES_TO_COMPARE = 8;
/** An accuracy is better than guessing when guessing would reach it with a probability of less than this. */
const SIGNIFICANCE = 0.01;
/** A prediction says nothing when its entropy is at least this share of the uniform distribution's, ln(classes). */
const NEARLY_UNIFORM = 0.98;
/** All in one class is no problem where that is right for at least this share. */
const MOSTLY_RIGHT = 0.75;

/** What is kept of predictions, batch by batch: see {@link addPredictions}. */
export interface PredictionStats {
  readonly images: number;
  readonly classes: number;
  /** `undefined` where labels are not known. */
  readonly correct: number | undefined;
  /** The class of the first image, for as long as all others have it too; otherwise -1. */
  readonly onlyPredicted: number;
  /** The same of the labels. */
  readonly onlyLabel: number;
  readonly nearlyUniform: number;
}

/** The statistics of no predictions. */
export const NO_PREDICTIONS: PredictionStats = {
  images: 0,
  classes: 0,
  correct: 0,
  onlyPredicted: -1,
  onlyLabel: -1,
  nearlyUniform: 0,
};

/**
 * Statistics with another batch: `logProbabilities` is `[N, classes]`.
 *
 * @param labels class of each image. Default: not known.
 */
export function addPredictions(
  stats: PredictionStats,
  logProbabilities: Tensor<'float32'>,
  labels?: ArrayLike<number>,
): PredictionStats {
  const [count = 0, classes = 0] = logProbabilities.dims;
  let { correct, onlyPredicted, onlyLabel, nearlyUniform } = stats;
  if (labels === undefined) correct = undefined;
  for (let row = 0; row < count; row++) {
    let best = 0;
    let entropy = 0;
    const own = logProbabilities.data.subarray(row * classes, (row + 1) * classes);
    // Classes with probabilities of their own do not sum up to 1: their shares do.
    const total = own.reduce((sum, value) => sum + Math.exp(value), 0);
    for (const [index, value] of own.entries()) {
      if (value > (own[best] ?? 0)) best = index;
      const share = Math.exp(value) / total;
      if (share > 0) entropy -= share * Math.log(share);
    }
    if (entropy >= NEARLY_UNIFORM * Math.log(classes)) nearlyUniform++;
    const isFirst = stats.images === 0 && row === 0;
    onlyPredicted = isFirst || onlyPredicted === best ? best : -1;
    const label = labels?.[row];
    if (label === undefined) continue;
    onlyLabel = isFirst || onlyLabel === label ? label : -1;
    if (correct !== undefined && label === best) correct++;
  }
  return { images: stats.images + count, classes, correct, onlyPredicted, onlyLabel, nearlyUniform };
}

/** Probability of `correct` or more right answers among `images` when each is right with probability `1 / classes`. */
export function computeChanceProbability(correct: number, images: number, classes: number): number {
  const odds = Math.log(1 / (classes - 1));
  let logarithm = images * Math.log1p(-1 / classes);
  let below = 0;
  for (let k = 0; k < correct; k++) {
    below += Math.exp(logarithm);
    logarithm += Math.log((images - k) / (k + 1)) + odds;
  }
  return Math.max(0, 1 - below);
}

/**
 * Why predictions are to be doubted, as the beginning of a sentence; `undefined` when nothing speaks against them.
 *
 * From 8 images on: all get the same class although their labels differ (or are not known), or the entropy of every
 * prediction is at least 98 % of the highest there is. From 100 labelled images on: guessing would get as many right
 * with a probability above 1 % (binomial, 1 / classes each).
 */
export function findPredictionProblem(stats: PredictionStats): string | undefined {
  const { images, classes, correct, onlyPredicted, onlyLabel, nearlyUniform } = stats;
  if (classes < 2 || images < IMAGES_TO_COMPARE) return undefined;
  if (nearlyUniform === images) return `All ${images} predictions are nearly uniform over the ${classes} classes`;
  const isRight = correct !== undefined && correct >= MOSTLY_RIGHT * images;
  if (onlyPredicted >= 0 && !isRight && (correct === undefined || onlyLabel < 0)) {
    return `All ${images} images are predicted as class ${onlyPredicted}`;
  }
  if (
    correct === undefined ||
    images < IMAGES_TO_COUNT ||
    computeChanceProbability(correct, images, classes) <= SIGNIFICANCE
  )
    return undefined;
  return `${correct} of ${images} right is no better than guessing among ${classes} classes`;
}
