/* KL(p‖q) = Σ p (log p − log q), in nats, averaged over images: what squeezing costs the predictions. */
import { ShiboriError } from '../errors.js';
import type { OutputKind } from '../graph/output-kind.js';
import { LEAST_PROBABILITY } from '../ops/log-probabilities.js';
import { expectFloat32, type Tensor } from '../tensor/tensor.js';

/** In place: scores of `classes` each become log-probabilities. */
function toLogProbabilities(row: Float64Array, kind: OutputKind): void {
  if (kind === 'log-probabilities') return;
  if (kind === 'probabilities') {
    row.forEach((value, c) => {
      row[c] = Math.log(Math.max(value, LEAST_PROBABILITY));
    });
    return;
  }
  const most = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const sum = row.reduce((total, value) => total + Math.exp(value - most), 0);
  row.forEach((value, c) => {
    row[c] = value - most - Math.log(sum);
  });
}

/**
 * Sum over images of KL(p‖q) of two batches of scores `[N, classes]`.
 *
 * @throws ShiboriError when a score is NaN or the batches differ in size.
 */
export function summedDivergence(p: Tensor<'float32'>, q: Tensor<'float32'>, kind: OutputKind): number {
  const [images = 0, classes = 0] = p.dims;
  if (p.data.length !== q.data.length || classes === 0) {
    throw new ShiboriError(`Comparing predictions: [${p.dims}] and [${q.dims}] are not as many.`);
  }
  let sum = 0;
  for (let n = 0; n < images; n++) {
    const left = Float64Array.from(p.data.subarray(n * classes, (n + 1) * classes));
    const right = Float64Array.from(q.data.subarray(n * classes, (n + 1) * classes));
    toLogProbabilities(left, kind);
    toLogProbabilities(right, kind);
    for (let c = 0; c < classes; c++) {
      sum += Math.exp(left[c] as number) * ((left[c] as number) - (right[c] as number));
    }
  }
  if (Number.isFinite(sum)) return sum;
  throw new ShiboriError('Comparing predictions: the model gives NaN or infinite scores for calibration images.');
}

/**
 * Mean KL over images of batches of scores, in nats; of the second list there may be fewer.
 *
 * @throws ShiboriError as `summedDivergence`.
 */
export function meanDivergence(before: readonly Tensor[], after: readonly Tensor[], kind: OutputKind): number {
  let sum = 0;
  let images = 0;
  for (const [i, found] of after.entries()) {
    const q = expectFloat32(found, 'Scores');
    sum += summedDivergence(expectFloat32(before[i], 'Scores'), q, kind);
    images += q.dims[0] ?? 0;
  }
  return sum / images;
}
