/*
 * A ≈ U diag(σ) Vᵀ with the k largest singular values, the best approximation of rank k (Eckart, Young 1936).
 * The directions of the smaller side come from `spectrum.ts`; the larger side is their projection, one matrix product.
 * Convention: σ descending, the largest entry of each column of U positive.
 */
import { ShiboriError } from '../errors.js';
import { range } from '../tensor/dims.js';
import { type Matrix, matrix, selectColumns, selectRows, transpose } from './matrix.js';
import type { MatrixProducts } from './products.js';
import { qr } from './qr.js';
import { findLargestColumnEntries, negateColumns, negateRows } from './signs.js';
import { computeSpectrum, isTall, type Spectrum } from './spectrum.js';

/** How much of a matrix to keep; the smaller of the two when both are given. Default: everything. */
export interface Truncation {
  /** Number of singular values, at least 1; more than min(rows, columns) means all. */
  readonly rank?: number;
  /** Largest error allowed, as a share of the Frobenius norm (0…1); at least one singular value is kept. */
  readonly tolerance?: number;
}

/** What every truncation tells. */
export interface TruncationResult {
  /** The k singular values kept, descending, zeros included. */
  readonly singularValues: Float64Array;
  /** Square root of the sum of the squares of the others: the Frobenius error. Resolved to about 1e-8 of the norm. */
  readonly discarded: number;
}

/** `a` ≈ `u` diag(`singularValues`) `v`ᵀ, `u` `[m, k]` and `v` `[n, k]`. */
export interface TruncatedSvd extends TruncationResult {
  readonly u: Matrix;
  readonly v: Matrix;
}

/** `a` ≈ `left` · `right`, `left` `[m, k]` with orthonormal columns and `right` = `left`ᵀ `a` `[k, n]`. */
export interface OrthogonalSplit extends TruncationResult {
  readonly left: Matrix;
  readonly right: Matrix;
}

/**
 * Columns that a division by their own norm leaves orthogonal to about 1e-16 / RATIO²: below this share of the largest
 * one they are orthogonalised by QR instead, which also completes the basis where they are zero.
 */
const RATIO = 1e-4;

interface Projection extends TruncationResult {
  /** Directions of the smaller side `[s, k]`. */
  readonly directions: Matrix;
  /** directionsᵀ A `[k, n]` of a wide matrix, A directions `[m, k]` of a tall one: not normalised. */
  readonly projected: Matrix;
}

/**
 * The singular value decomposition cut to a rank or a tolerance. Through Gram matrices: singular values below about
 * 1e-8 of the largest are noise; U and V are orthonormal to about 1e-8, also beyond the rank of the matrix.
 *
 * @param products provider of matrix products, where nearly all the time goes.
 * @throws ShiboriError when an option is out of range or the matrix holds NaN or infinite values.
 */
export async function truncatedSvd(a: Matrix, truncation: Truncation, products: MatrixProducts): Promise<TruncatedSvd> {
  const { directions, projected, singularValues, discarded } = await project(a, truncation, products);
  const tall = isTall(a);
  const { q } = orthonormalize(tall ? projected : transpose(projected), singularValues);
  const [u, v] = tall ? [q, directions] : [directions, q];
  const signs = findLargestColumnEntries(u);
  negateColumns(u, signs);
  negateColumns(v, signs);
  return { u, singularValues, v, discarded };
}

/**
 * The same truncation as a product of two factors, the left one orthonormal: what a tensor train is made of.
 *
 * @throws ShiboriError as `truncatedSvd`.
 */
export async function splitOrthogonally(
  a: Matrix,
  truncation: Truncation,
  products: MatrixProducts,
): Promise<OrthogonalSplit> {
  const { directions, projected, singularValues, discarded } = await project(a, truncation, products);
  let left = directions;
  let right = projected;
  if (isTall(a)) {
    const { q, r } = orthonormalize(projected, singularValues);
    left = q;
    // A E Eᵀ = (Q R) Eᵀ: with R kept, nothing is lost where dividing by small singular values would amplify noise.
    right = await products.multiply(r, directions, { transposeB: true });
  }
  const signs = findLargestColumnEntries(left);
  negateColumns(left, signs);
  negateRows(right, signs);
  return { left, right, singularValues, discarded };
}

async function project(a: Matrix, truncation: Truncation, products: MatrixProducts): Promise<Projection> {
  const side = Math.min(a.rows, a.cols);
  const rank = truncation.rank === undefined ? undefined : Math.min(truncation.rank, side);
  if (rank !== undefined && (!Number.isInteger(rank) || rank < 1)) {
    throw new ShiboriError(`Truncated SVD: the rank must be a positive integer, found ${truncation.rank}.`, {
      code: 'not-finite',
    });
  }
  const tolerance = truncation.tolerance ?? 0;
  if (!(tolerance >= 0 && tolerance <= 1)) {
    throw new ShiboriError(`Truncated SVD: the tolerance must be between 0 and 1, found ${tolerance}.`, {
      code: 'not-finite',
    });
  }
  const spectrum = await computeSpectrum(a, rank, products);
  const kept = chooseRank(spectrum, rank ?? side, tolerance);
  const directions = selectColumns(spectrum.directions, range(kept.rank));
  const projected = isTall(a)
    ? await products.multiply(a, directions, {})
    : await products.multiply(directions, a, { transposeA: true });
  return { ...sortBySingularValue(directions, projected, isTall(a)), discarded: Math.sqrt(kept.discarded) };
}

/** The smallest rank up to `most` that keeps the error within the tolerance, and the energy it discards. */
function chooseRank(spectrum: Spectrum, most: number, tolerance: number): { rank: number; discarded: number } {
  const { energies, restEnergy: rest } = spectrum;
  // discardedEnergies[k]: the energy beyond the first k, summed from the small end.
  const discardedEnergies = new Float64Array(energies.length + 1).fill(rest);
  for (let k = energies.length - 1; k >= 0; k--)
    discardedEnergies[k] = (discardedEnergies[k + 1] as number) + (energies[k] as number);
  const allowed = tolerance * tolerance * (discardedEnergies[0] as number);
  let rank = most;
  while (tolerance > 0 && rank > 1 && (discardedEnergies[rank - 1] as number) <= allowed) rank--;
  return { rank, discarded: discardedEnergies[rank] as number };
}

/**
 * Singular values as the norms of the projections, which are good to 1e-8 of the largest where the square roots of the
 * eigenvalues are not; sorted by them.
 */
function sortBySingularValue(directions: Matrix, projected: Matrix, tall: boolean): Omit<Projection, 'discarded'> {
  const norms = (tall ? computeSquaredColumnNorms(projected) : computeSquaredRowNorms(projected)).map(Math.sqrt);
  const order = range(norms.length).sort((i, j) => (norms[j] as number) - (norms[i] as number));
  const singularValues = Float64Array.from(order, (i) => norms[i] as number);
  if (order.every((i, position) => i === position)) return { directions, projected, singularValues };
  return {
    directions: selectColumns(directions, order),
    projected: tall ? selectColumns(projected, order) : selectRows(projected, order),
    singularValues,
  };
}

/** `columns` = Q R with Q orthonormal and R diagonal where the norms of the columns allow it. */
function orthonormalize(columns: Matrix, norms: Float64Array): { q: Matrix; r: Matrix } {
  const count = norms.length;
  if (!((norms[count - 1] as number) > RATIO * (norms[0] as number))) return qr(columns);
  const r = matrix(count, count);
  norms.forEach((norm, j) => {
    r.data[j * count + j] = norm;
  });
  const q = matrix(columns.rows, count);
  for (let i = 0, at = 0; i < columns.rows; i++) {
    for (let j = 0; j < count; j++, at++) q.data[at] = (columns.data[at] as number) / (norms[j] as number);
  }
  return { q, r };
}

function computeSquaredColumnNorms(a: Matrix): Float64Array {
  const sums = new Float64Array(a.cols);
  for (let i = 0, at = 0; i < a.rows; i++) {
    for (let j = 0; j < a.cols; j++, at++) sums[j] = (sums[j] as number) + (a.data[at] as number) ** 2;
  }
  return sums;
}

function computeSquaredRowNorms(a: Matrix): Float64Array {
  const sums = new Float64Array(a.rows);
  for (let i = 0, at = 0; i < a.rows; i++) {
    let sum = 0;
    for (let j = 0; j < a.cols; j++, at++) sum += (a.data[at] as number) ** 2;
    sums[i] = sum;
  }
  return sums;
}
