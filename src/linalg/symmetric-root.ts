/*
 * A^½ = V diag(√λ) Vᵀ and A^−½ of a symmetric positive semidefinite A = V diag(λ) Vᵀ. Eigenvalues below FLOOR of the
 * largest are noise of the statistics that A was summed from: both roots treat them as zero (a pseudo-inverse).
 */
import { type Matrix, matrix } from './matrix.js';
import type { MatrixProducts } from './products.js';
import { symmetricEigen } from './symmetric-eigen.js';

/** What rounding leaves of zero eigenvalues after sums of float32 products. */
const FLOOR = 1e-10;

/** A root, its pseudo-inverse, and how many directions are not zero. */
export interface SymmetricRoot {
  readonly root: Matrix;
  readonly inverse: Matrix;
  readonly rank: number;
}

/** V diag(f) Vᵀ. */
async function assembleFromEigen(vectors: Matrix, factors: Float64Array, products: MatrixProducts): Promise<Matrix> {
  const n = vectors.rows;
  const scaled = matrix(n, n);
  for (let i = 0, at = 0; i < n; i++) {
    for (let j = 0; j < n; j++, at++) scaled.data[at] = (vectors.data[at] as number) * (factors[j] as number);
  }
  return products.multiply(scaled, vectors, { transposeB: true });
}

/** Both square roots of a symmetric positive semidefinite matrix. */
export async function symmetricRoot(a: Matrix, products: MatrixProducts): Promise<SymmetricRoot> {
  const { values, vectors } = symmetricEigen(a);
  const least = FLOOR * Math.max(0, values[0] ?? 0);
  const kept = values.map((value) => (value > least ? value : 0));
  return {
    root: await assembleFromEigen(vectors, kept.map(Math.sqrt), products),
    inverse: await assembleFromEigen(
      vectors,
      kept.map((value) => (value > 0 ? 1 / Math.sqrt(value) : 0)),
      products,
    ),
    rank: kept.filter((value) => value > 0).length,
  };
}
