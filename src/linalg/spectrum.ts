/*
 * The leading singular directions of a matrix on its smaller side, s = min(m, n).
 *   Gram:        A Aᵀ = E diag(σ²) Eᵀ, exact up to the square root of the rounding: σ(i) carries a relative error of
 *                about 1e-16 (σ(1) / σ(i))², so directions below 1e-8 σ(1) are noise. Enough to truncate float32 weights.
 *   Randomised:  Q = an orthonormal basis of (A Aᵀ)^q A Ω with Gaussian Ω, then the Gram matrix of Qᵀ A; for large s,
 *                whose full eigenvalue problem costs s³.
 * Source: Halko, Martinsson, Tropp 2011, algorithms 4.4 and 5.1 (arXiv:0909.4061).
 */
import { MersenneTwister } from '../tensor/random.js';
import { computeSumOfSquares, type Matrix, matrix } from './matrix.js';
import type { MatrixProducts } from './products.js';
import { qr } from './qr.js';
import { symmetricEigen } from './symmetric-eigen.js';

/** Orthonormal directions of the smaller side and the energy (squared singular value) in each, descending. */
export interface Spectrum {
  /** `[s, l]`, one direction a column. */
  readonly directions: Matrix;
  /** `l` squared singular values, none negative. */
  readonly energies: Float64Array;
  /** Sum of the squared singular values beyond these. */
  readonly restEnergy: number;
}

/** Whether the smaller side is the columns. */
export function isTall(a: Matrix): boolean {
  return a.rows > a.cols;
}

/** Up to this smaller side the whole eigenvalue problem is solved (seconds at the limit). */
export const GRAM_LIMIT = 1000;

/** Subspace iterations: two bring a slowly decaying spectrum within a percent of the best error (section 4.5). */
const ITERATIONS = 2;

/** Directions drawn beyond the wanted rank: ten, and a tenth of the rank for spectra that hardly decay. */
function addOversampling(rank: number): number {
  return rank + 10 + Math.ceil(rank / 10);
}

/** The leading directions of `a`: at least `rank` of them, all when `rank` is undefined. */
export async function computeSpectrum(
  a: Matrix,
  rank: number | undefined,
  products: MatrixProducts,
): Promise<Spectrum> {
  const side = Math.min(a.rows, a.cols);
  const sampled = rank === undefined ? side : addOversampling(rank);
  return side <= GRAM_LIMIT || 2 * sampled > side
    ? computeGramSpectrum(a, products)
    : computeRandomizedSpectrum(a, sampled, products);
}

/** All directions, through the Gram matrix of the smaller side. */
export async function computeGramSpectrum(a: Matrix, products: MatrixProducts): Promise<Spectrum> {
  const gram = await products.multiply(a, a, isTall(a) ? { transposeA: true } : { transposeB: true });
  const { values, vectors } = symmetricEigen(gram);
  // Rounding leaves the zeros of a semidefinite matrix on either side of zero.
  return { directions: vectors, energies: values.map((value) => Math.max(0, value)), restEnergy: 0 };
}

/** `count` leading directions by subspace iteration from a Gaussian start; the same seed gives the same result. */
export async function computeRandomizedSpectrum(
  a: Matrix,
  count: number,
  products: MatrixProducts,
  seed = 0,
): Promise<Spectrum> {
  const large = Math.max(a.rows, a.cols);
  const toSmallSide = { transposeA: isTall(a) };
  const toLargeSide = { transposeA: !isTall(a) };
  const noise = Float64Array.from(new MersenneTwister(seed).randn(large * count));
  let sample = await products.multiply(a, matrix(large, count, noise), toSmallSide);
  for (let i = 0; i < ITERATIONS; i++) {
    const image = await products.multiply(a, qr(sample).q, toLargeSide);
    sample = await products.multiply(a, image, toSmallSide);
  }
  const { q } = qr(sample);
  const image = await products.multiply(a, q, toLargeSide);
  const { directions, energies } = await computeGramSpectrum(image, products);
  let found = 0;
  for (const energy of energies) found += energy;
  return {
    directions: await products.multiply(q, directions, {}),
    energies,
    restEnergy: Math.max(0, computeSumOfSquares(a.data) - found),
  };
}
