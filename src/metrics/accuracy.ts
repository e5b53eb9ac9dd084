import { ShiboriError } from '../errors.js';
import { LEAST_PROBABILITY } from '../ops/scores/append.js';
import type { LabelKind, OutputKind, ScoreKinds } from '../ops/scores/scores.js';
import { softplus } from '../tensor/softplus.js';
import { type Tensor, tensor } from '../tensor/tensor.js';

/** Sums over images, which batches can add up: see {@link countAccuracy}. */
export interface AccuracyCounts {
  readonly images: number;
  readonly top1Correct: number;
  readonly top5Correct: number;
  /** Sum of the negative log-likelihoods, in nats. */
  readonly nllSum: number;
}

/** How well a classifier does: `top1` and `top5` in percent, `nll` the mean negative log-likelihood in nats. */
export interface Accuracy {
  readonly images: number;
  readonly top1Correct: number;
  readonly top5Correct: number;
  readonly top1: number;
  readonly top5: number;
  readonly nll: number;
}

/** The counts of no images. */
export const NO_IMAGES: AccuracyCounts = { images: 0, top1Correct: 0, top5Correct: 0, nllSum: 0 };

function getScoreShape(logProbabilities: Tensor<'float32'>): { count: number; classes: number } {
  const [count, classes] = logProbabilities.dims;
  if (logProbabilities.dims.length !== 2 || count === undefined || classes === undefined || classes < 1) {
    throw new ShiboriError(
      `Accuracy: expected log-probabilities [N, classes], found dimensions [${logProbabilities.dims.join(', ')}].`,
      { code: 'invalid-data' },
    );
  }
  return { count, classes };
}

/** log(1 − p), of log p. */
const computeLogComplement = (log: number): number => Math.log(Math.max(-Math.expm1(log), LEAST_PROBABILITY));

/**
 * Counts of a batch: `logProbabilities` is `[N, classes]`, `labels` has N class indices. Of equal scores the lower class
 * counts as the better.
 *
 * @param kind how the classes belong together. Where each has a probability of its own (`multi-label`), the likelihood is
 *   that of the label being right and all other classes being wrong: the sum of the binary cross entropies.
 *   Default: `single-label`.
 * @throws ShiboriError for a label outside the classes, and for NaN scores, which have no order.
 */
export function countAccuracy(
  logProbabilities: Tensor<'float32'>,
  labels: ArrayLike<number>,
  kind: LabelKind = 'single-label',
): AccuracyCounts {
  const { count, classes } = getScoreShape(logProbabilities);
  if (labels.length !== count)
    throw new ShiboriError(`Accuracy: ${count} predictions, but ${labels.length} labels.`, { code: 'invalid-data' });
  let top1Correct = 0;
  let top5Correct = 0;
  let nllSum = 0;
  for (let i = 0; i < count; i++) {
    const label = labels[i] as number;
    if (!Number.isInteger(label) || label < 0 || label >= classes) {
      throw new ShiboriError(
        `Accuracy: image ${i} has label ${label}, but the model has classes 0 to ${classes - 1}. ` +
          'Is this the data set the model was trained on?',
        { code: 'invalid-data' },
      );
    }
    const row = logProbabilities.data.subarray(i * classes, (i + 1) * classes);
    const own = row[label] as number;
    let rank = 0;
    for (let c = 0; c < classes; c++) {
      const other = row[c] as number;
      if (Number.isNaN(other)) {
        throw new ShiboriError(`Accuracy: the model's output for image ${i} of the batch, class ${c}, is NaN.`, {
          code: 'invalid-data',
        });
      }
      if (other > own || (other === own && c < label)) rank++;
      if (kind === 'multi-label' && c !== label) nllSum -= computeLogComplement(other);
    }
    if (rank < 1) top1Correct++;
    if (rank < 5) top5Correct++;
    nllSum -= own;
  }
  return { images: count, top1Correct, top5Correct, nllSum };
}

/** The counts of two sets of images taken together. */
export function addCounts(a: AccuracyCounts, b: AccuracyCounts): AccuracyCounts {
  return {
    images: a.images + b.images,
    top1Correct: a.top1Correct + b.top1Correct,
    top5Correct: a.top5Correct + b.top5Correct,
    nllSum: a.nllSum + b.nllSum,
  };
}

/**
 * Percentages and the mean of counts.
 *
 * @throws ShiboriError when there were no images.
 */
export function computeAccuracy(counts: AccuracyCounts): Accuracy {
  const { images, top1Correct, top5Correct, nllSum } = counts;
  if (images === 0) throw new ShiboriError('Accuracy: there was no image to evaluate.', { code: 'invalid-data' });
  return {
    images,
    top1Correct,
    top5Correct,
    top1: (100 * top1Correct) / images,
    top5: (100 * top5Correct) / images,
    nll: nllSum / images,
  };
}

/** The predicted class of each row of `[N, classes]` scores; of equal scores the lowest class. */
export function computePredictedClasses(scores: Tensor<'float32'>): Int32Array {
  const { count, classes } = getScoreShape(scores);
  return Int32Array.from({ length: count }, (_, i) => {
    const row = scores.data.subarray(i * classes, (i + 1) * classes);
    return row.indexOf(row.reduce((best, score) => Math.max(best, score), Number.NEGATIVE_INFINITY));
  });
}

/** log p of one class that has a probability of its own. */
function computeLogOfEach(score: number, kind: OutputKind): number {
  if (kind === 'logits') return -softplus(-score);
  return kind === 'probabilities' ? Math.log(Math.max(score, LEAST_PROBABILITY)) : score;
}

/** log p of one class and of its opposite, of the one column that tells two classes apart. */
function computeLogOfPair(score: number, kind: OutputKind): readonly [no: number, yes: number] {
  if (kind === 'logits') return [-softplus(score), -softplus(-score)];
  const p = kind === 'probabilities' ? score : Math.exp(score);
  return [Math.log(Math.max(1 - p, LEAST_PROBABILITY)), computeLogOfEach(score, kind)];
}

function logSoftmax(row: Float32Array, out: Float32Array): void {
  let max = Number.NEGATIVE_INFINITY;
  for (const score of row) max = Math.max(max, score);
  let sum = 0;
  for (const score of row) sum += Math.exp(score - max);
  const shift = max + Math.log(sum);
  for (let c = 0; c < row.length; c++) out[c] = (row[c] ?? 0) - shift;
}

/**
 * Computes log-probabilities `[N, classes]` of whatever scores `[N, columns]` a classifier gives. One column is two
 * classes: log(1 − p) and log p.
 */
export function computeLogProbabilities(scores: Tensor<'float32'>, { kind, labels }: ScoreKinds): Tensor<'float32'> {
  const [rows = 0, columns = 1] = scores.dims;
  if (labels === 'none') throw new ShiboriError('A regression has no probabilities.', { code: 'invalid-data' });
  if (labels === 'binary') {
    const pairs = Float32Array.from(Array.from(scores.data).flatMap((score) => computeLogOfPair(score, kind)));
    return tensor('float32', [rows, 2], pairs);
  }
  if (kind === 'log-probabilities') return scores;
  if (labels === 'multi-label' || kind === 'probabilities')
    return tensor(
      'float32',
      scores.dims,
      scores.data.map((score) => computeLogOfEach(score, kind)),
    );
  const out = new Float32Array(scores.data.length);
  for (let row = 0; row < rows; row++) {
    const [from, to] = [row * columns, (row + 1) * columns];
    logSoftmax(scores.data.subarray(from, to), out.subarray(from, to));
  }
  return tensor('float32', scores.dims, out);
}
