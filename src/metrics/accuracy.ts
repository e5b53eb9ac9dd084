import { ShiboriError } from '../errors.js';
import { type Tensor, tensor } from '../tensor/tensor.js';

/** Sums over images, which batches can add up: see {@link countCorrect}. */
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

function shapeOf(logProbabilities: Tensor<'float32'>): { count: number; classes: number } {
  const [count, classes] = logProbabilities.dims;
  if (logProbabilities.dims.length !== 2 || count === undefined || classes === undefined || classes < 1) {
    throw new ShiboriError(
      `Accuracy: expected log-probabilities [N, classes], found dimensions [${logProbabilities.dims.join(', ')}].`,
    );
  }
  return { count, classes };
}

/**
 * Counts of a batch: `logProbabilities` is `[N, classes]`, `labels` has N class indices. Of equal scores the lower class
 * counts as the better.
 *
 * @throws ShiboriError for a label outside the classes, and for NaN scores, which have no order.
 */
export function countCorrect(logProbabilities: Tensor<'float32'>, labels: ArrayLike<number>): AccuracyCounts {
  const { count, classes } = shapeOf(logProbabilities);
  if (labels.length !== count) throw new ShiboriError(`Accuracy: ${count} predictions, but ${labels.length} labels.`);
  let top1Correct = 0;
  let top5Correct = 0;
  let nllSum = 0;
  for (let i = 0; i < count; i++) {
    const label = labels[i] as number;
    if (!Number.isInteger(label) || label < 0 || label >= classes) {
      throw new ShiboriError(
        `Accuracy: image ${i} has label ${label}, but the model has classes 0 to ${classes - 1}. ` +
          'Is this the data set the model was trained on?',
      );
    }
    const row = logProbabilities.data.subarray(i * classes, (i + 1) * classes);
    const own = row[label] as number;
    let rank = 0;
    for (let c = 0; c < classes; c++) {
      const other = row[c] as number;
      if (Number.isNaN(other)) {
        throw new ShiboriError(`Accuracy: the model's output for image ${i} of the batch, class ${c}, is NaN.`);
      }
      if (other > own || (other === own && c < label)) rank++;
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
export function accuracyOf(counts: AccuracyCounts): Accuracy {
  const { images, top1Correct, top5Correct, nllSum } = counts;
  if (images === 0) throw new ShiboriError('Accuracy: there was no image to evaluate.');
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
export function predictedClasses(scores: Tensor<'float32'>): Int32Array {
  const { count, classes } = shapeOf(scores);
  return Int32Array.from({ length: count }, (_, i) => {
    const row = scores.data.subarray(i * classes, (i + 1) * classes);
    return row.indexOf(row.reduce((best, score) => Math.max(best, score), Number.NEGATIVE_INFINITY));
  });
}

/** Log-probabilities `[N, classes]` from whatever scores a classifier gives. */
export function logProbabilitiesOf(
  scores: Tensor<'float32'>,
  kind: 'log-probabilities' | 'probabilities' | 'logits',
): Tensor<'float32'> {
  if (kind === 'log-probabilities') return scores;
  const [rows = 0, classes = 1] = scores.dims;
  const out = new Float32Array(scores.data.length);
  for (let row = 0; row < rows; row++) {
    const own = scores.data.subarray(row * classes, (row + 1) * classes);
    if (kind === 'probabilities') out.set(own.map(Math.log), row * classes);
    else {
      let max = Number.NEGATIVE_INFINITY;
      for (const score of own) max = Math.max(max, score);
      let sum = 0;
      for (const score of own) sum += Math.exp(score - max);
      const shift = max + Math.log(sum);
      for (let c = 0; c < classes; c++) out[row * classes + c] = (own[c] ?? 0) - shift;
    }
  }
  return tensor('float32', scores.dims, out);
}
