/*
 * Pearson's correlation of two maps, pixel by pixel:
 *   r = Σ (a − mean a)(b − mean b) / √(Σ (a − mean a)² Σ (b − mean b)²)
 */
import { ShiboriError } from '../errors.js';

function computeMean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] as number;
  return sum / values.length;
}

/** Whether all values are the same: a map without any structure, such as one of zeros. */
export function isConstantMap(values: ArrayLike<number>): boolean {
  for (let i = 1; i < values.length; i++) if (values[i] !== values[0]) return false;
  return true;
}

/**
 * Measures Pearson's correlation of two maps of the same size, −1…1.
 *
 * @returns `undefined` where a map is constant: the formula divides by zero then, and neither 0 nor 1 would be true.
 * @throws ShiboriError when the sizes differ, or when a map is empty or holds NaN or an infinity.
 */
export function pearson(a: ArrayLike<number>, b: ArrayLike<number>): number | undefined {
  if (a.length !== b.length || a.length === 0) {
    throw new ShiboriError(`Correlating two maps: they have ${a.length} and ${b.length} pixels.`, {
      code: 'invalid-data',
    });
  }
  const meanA = computeMean(a);
  const meanB = computeMean(b);
  if (!Number.isFinite(meanA) || !Number.isFinite(meanB)) {
    throw new ShiboriError('Correlating two maps: one holds NaN or an infinity.', { code: 'invalid-data' });
  }
  // Asked of the values, not of the variance: a mean that rounds leaves a constant map a tiny variance of noise.
  if (isConstantMap(a) || isConstantMap(b)) return undefined;
  let ab = 0;
  let aa = 0;
  let bb = 0;
  for (let i = 0; i < a.length; i++) {
    const da = (a[i] as number) - meanA;
    const db = (b[i] as number) - meanB;
    ab += da * db;
    aa += da * da;
    bb += db * db;
  }
  return Math.min(Math.max(ab / (Math.sqrt(aa) * Math.sqrt(bb)), -1), 1);
}
