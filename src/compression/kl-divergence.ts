/*
 * KL(p‖q) = Σ p (log p − log q), in nats, averaged over images: what compression costs the predictions. Where every class
 * has a probability of its own it is the sum of the classes' divergences, of p and 1 − p from q and 1 − q.
 */
import { ShiboriError } from '../errors.js';
import { LEAST_PROBABILITY } from '../ops/scores/append.js';
import type { ScoreKinds, Scores } from '../ops/scores/scores.js';
import { softplus } from '../tensor/softplus.js';
import { expectFloat32, type Tensor } from '../tensor/tensor.js';

/** What the tensors hold that probabilities are computed from. */
export function describeScoreSource({ source, labels }: Scores): ScoreKinds {
  return { kind: source.kind, labels };
}

/** log p and log(1 − p) of one score. */
function computeBothLogarithms(score: number, kind: ScoreKinds['kind']): readonly [yes: number, no: number] {
  if (kind === 'logits') return [-softplus(-score), -softplus(score)];
  const p = kind === 'probabilities' ? score : Math.exp(score);
  return [Math.log(Math.max(p, LEAST_PROBABILITY)), Math.log(Math.max(1 - p, LEAST_PROBABILITY))];
}

/** In place: scores of `classes` each become log-probabilities. */
function toLogProbabilities(row: Float64Array, kind: ScoreKinds['kind']): void {
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

/** KL of two images' scores. */
function computeImageDivergence(p: Float64Array, q: Float64Array, { kind, labels }: ScoreKinds): number {
  let sum = 0;
  if (labels === 'binary' || labels === 'multi-label') {
    for (let c = 0; c < p.length; c++) {
      const [yes, no] = computeBothLogarithms(p[c] as number, kind);
      const [otherYes, otherNo] = computeBothLogarithms(q[c] as number, kind);
      sum += Math.exp(yes) * (yes - otherYes) + Math.exp(no) * (no - otherNo);
    }
    return sum;
  }
  toLogProbabilities(p, kind);
  toLogProbabilities(q, kind);
  for (let c = 0; c < p.length; c++) sum += Math.exp(p[c] as number) * ((p[c] as number) - (q[c] as number));
  return sum;
}

/**
 * Sums over images KL(p‖q) of two batches of scores `[N, columns]`, with axes of size 1 at any place.
 *
 * @throws ShiboriError when a score is NaN or the batches differ in size.
 */
export function sumDivergence(p: Tensor<'float32'>, q: Tensor<'float32'>, kinds: ScoreKinds): number {
  const [images = 0] = p.dims;
  const columns = p.data.length / images;
  if (p.data.length !== q.data.length || !Number.isInteger(columns) || columns === 0) {
    throw new ShiboriError(`Comparing predictions: [${p.dims}] and [${q.dims}] are not as many.`, {
      code: 'unsupported-model',
    });
  }
  let sum = 0;
  for (let n = 0; n < images; n++) {
    const [left, right] = [p, q].map(({ data }) => Float64Array.from(data.subarray(n * columns, (n + 1) * columns)));
    if (left && right) sum += computeImageDivergence(left, right, kinds);
  }
  if (Number.isFinite(sum)) return sum;
  throw new ShiboriError('Comparing predictions: the model gives NaN or infinite scores for calibration images.', {
    code: 'unsupported-model',
  });
}

/**
 * Mean KL over images of batches of scores, in nats; of the second list there may be fewer.
 *
 * @throws ShiboriError as `summedDivergence`.
 */
export function computeMeanDivergence(before: readonly Tensor[], after: readonly Tensor[], kinds: ScoreKinds): number {
  let sum = 0;
  let images = 0;
  for (const [i, found] of after.entries()) {
    const q = expectFloat32(found, 'Scores');
    sum += sumDivergence(expectFloat32(before[i], 'Scores'), q, kinds);
    images += q.dims[0] ?? 0;
  }
  return sum / images;
}
