/*
 * What a compressed model lost, on images: accuracy, and how far its predictions went. With z = log p less its mean over
 * the classes (which is the same for logits, probabilities and log-probabilities),
 *   error = √(Σ ‖ẑ − z‖² / Σ ‖z‖²)    over all images, ^ the compressed model
 *   KL    = mean Σ p (log p − log p̂)   in nats
 */

import { sumDivergence } from '../compression/kl-divergence.js';
import type { RunContext } from '../context/run-context.js';
import { ShiboriError } from '../errors.js';
import { warnIfLikeChance } from '../evaluation/chance-warning.js';
import { evaluatePredictions } from '../evaluation/evaluator.js';
import { mapLabels } from '../evaluation/label-map.js';
import { compareWithOriginal, type OriginalMaps } from '../evaluation/original-maps.js';
import type { Dataset } from '../images/open-dataset.js';
import type { LoadedModel } from '../io/models/model-file.js';
import { type Accuracy, computeAccuracy, computePredictedClasses } from '../metrics/accuracy.js';
import { findScores } from '../ops/scores/scores.js';
import type { MapFigures } from '../report/comparison.js';
import type { Tensor } from '../tensor/tensor.js';

/** What a model says of the validation images. */
export interface ValidationPredictions {
  readonly images: number;
  /** Absent where the images have no labels. */
  readonly accuracy?: Accuracy;
  /** `[n, classes]`, a batch each. */
  readonly logProbabilities: readonly Tensor<'float32'>[];
}

/** How a compressed model compares with the original on the validation images. */
export interface MeasuredLoss {
  readonly images: number;
  /** Absent where the images have no labels, as is what follows. */
  readonly accuracy?: Accuracy;
  /** Points of top-1; negative when gained. */
  readonly top1Drop?: number;
  /** Images for which both predict the same, in percent. */
  readonly agreement: number;
  /** Relative error of the outputs, and the mean KL in nats: see above. */
  readonly error: number;
  readonly divergence: number;
  /** Agreement of the Grad-CAM maps, where it was asked for. */
  readonly maps?: MapFigures;
}

/**
 * Runs a model over the validation images and keeps what it says.
 *
 * @param isFirst whether this is the original: what is wrong with images and labels is reported once.
 */
export async function computePredictions(
  model: LoadedModel,
  dataset: Dataset,
  isFirst: boolean,
  context: RunContext,
): Promise<ValidationPredictions> {
  const { warning } = mapLabels(model, dataset.source);
  if (warning && isFirst) context.onWarning?.(warning);
  const logProbabilities: Tensor<'float32'>[] = [];
  const { images, counts, stats } = await evaluatePredictions(
    model,
    dataset,
    {
      phase: isFirst ? 'evaluate original' : 'evaluate',
      warnsOfSkipped: isFirst,
      onBatch: (batch) => logProbabilities.push(batch.logProbabilities),
    },
    context,
  );
  if (isFirst) warnIfLikeChance(stats, model, context);
  return { images, ...(counts && { accuracy: computeAccuracy(counts) }), logProbabilities };
}

/** Each row less its mean. */
function subtractRowMeans({ dims, data }: Tensor<'float32'>): Float64Array {
  const classes = dims[1] ?? 1;
  const result = Float64Array.from(data);
  for (let start = 0; start < result.length; start += classes) {
    const row = result.subarray(start, start + classes);
    const mean = row.reduce((sum, value) => sum + value, 0) / classes;
    for (let c = 0; c < classes; c++) row[c] = (row[c] as number) - mean;
  }
  return result;
}

/**
 * The relative error of two lists of log-probabilities `[n, classes]`.
 *
 * @throws ShiboriError when they are not of the same images.
 */
export function computeOutputError(before: readonly Tensor<'float32'>[], after: readonly Tensor<'float32'>[]): number {
  let difference = 0;
  let size = 0;
  for (const [i, first] of before.entries()) {
    const second = after[i];
    if (second?.data.length !== first.data.length) {
      throw new ShiboriError('Comparing outputs: the two models were not run on the same images.', {
        code: 'unsupported-model',
      });
    }
    const [a, b] = [subtractRowMeans(first), subtractRowMeans(second)];
    for (let k = 0; k < a.length; k++) {
      difference += ((b[k] as number) - (a[k] as number)) ** 2;
      size += (a[k] as number) ** 2;
    }
  }
  return difference === 0 ? 0 : Math.sqrt(difference / size);
}

/** Holds the original that candidates are measured against, and what is computed of it once. */
export interface MeasuredOriginal {
  readonly model: LoadedModel;
  readonly predictions: ValidationPredictions;
  /** Reads or computes its maps; `undefined` for a model of which no layer has a map. */
  readonly getMaps: (() => Promise<OriginalMaps>) | undefined;
}

/** Measures a compressed model against the original on the validation images. */
export async function measureModelLoss(
  original: MeasuredOriginal,
  compressed: LoadedModel,
  dataset: Dataset,
  context: RunContext,
): Promise<MeasuredLoss> {
  const { predictions: before, getMaps } = original;
  const after = await computePredictions(compressed, dataset, false, context);
  // A pair of log-probabilities stands for two classes: it is compared as any two classes are.
  const { labels } = findScores(original.model.graph);
  const kinds = { kind: 'log-probabilities', labels: labels === 'binary' ? 'single-label' : labels } as const;
  let divergence = 0;
  let same = 0;
  for (const [i, p] of before.logProbabilities.entries()) {
    const q = after.logProbabilities[i];
    if (!q) continue;
    divergence += sumDivergence(p, q, kinds);
    const theirs = computePredictedClasses(q);
    same += computePredictedClasses(p).filter((predicted, row) => predicted === theirs[row]).length;
  }
  const loss: MeasuredLoss = {
    images: after.images,
    ...(before.accuracy && after.accuracy
      ? { accuracy: after.accuracy, top1Drop: before.accuracy.top1 - after.accuracy.top1 }
      : {}),
    agreement: (100 * same) / after.images,
    error: computeOutputError(before.logProbabilities, after.logProbabilities),
    divergence: divergence / after.images,
  };
  if (getMaps === undefined) return loss;
  context.onProgress?.({ phase: 'maps', done: 0, total: 1 });
  const maps = await compareWithOriginal(await getMaps(), compressed, dataset, context);
  context.onProgress?.({ phase: 'maps', done: 1, total: 1 });
  return { ...loss, maps };
}
