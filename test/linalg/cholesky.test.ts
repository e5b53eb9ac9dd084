import { describe, expect, it } from 'vitest';
import { backSolve, cholesky, choleskySolve, forwardSolve } from '../../src/linalg/cholesky.js';
import { type Matrix, matrix } from '../../src/linalg/matrix.js';
import { plainProducts } from '../../src/linalg/products.js';
import { symmetricRoot } from '../../src/linalg/symmetric-root.js';
import { distance, naiveProduct, norm, randomMatrix } from './support.js';

/** Solutions of systems with a condition of about 1e3, in float64. */
const SOLVED = 1e-11;

/** A A ᵀ + I: positive definite. */
function definite(n: number): Matrix {
  const a = randomMatrix(n, n, 1, n);
  const gram = naiveProduct(a, a, false, true);
  for (let i = 0; i < n; i++) gram.data[i * n + i] = (gram.data[i * n + i] ?? 0) + 1;
  return gram;
}

describe('cholesky', () => {
  // 128 is one block: sizes on both sides of it, and one with a rest.
  it.each([1, 5, 128, 129, 300])('factors and solves a system of size %i', async (n) => {
    const a = definite(n);
    const factor = await cholesky(a, plainProducts);
    expect(distance(naiveProduct(factor.lower, factor.lower, false, true).data, a.data)).toBeLessThan(
      SOLVED * norm(a.data),
    );
    for (let i = 0; i < n; i++) for (let j = i + 1; j < n; j++) expect(factor.lower.data[i * n + j]).toBe(0);
    const b = randomMatrix(n, 3, 2);
    const x = await choleskySolve(factor, b, plainProducts);
    expect(distance(naiveProduct(a, x).data, b.data)).toBeLessThan(SOLVED * norm(b.data) * n);
    const forward = await forwardSolve(factor, b, plainProducts);
    expect(distance(naiveProduct(factor.lower, forward).data, b.data)).toBeLessThan(SOLVED * norm(b.data));
    const back = await backSolve(factor, b, plainProducts);
    expect(distance(naiveProduct(factor.lower, back, true).data, b.data)).toBeLessThan(SOLVED * norm(b.data));
  });

  it('refuses a matrix that is not positive definite, and NaN', async () => {
    await expect(cholesky(matrix(2, 2, Float64Array.of(1, 2, 2, 1)), plainProducts)).rejects.toThrow(/row 1 of 2/);
    await expect(cholesky(matrix(1, 1, Float64Array.of(Number.NaN)), plainProducts)).rejects.toThrow(/NaN/);
  });
});

describe('symmetricRoot', () => {
  it('squares to the matrix, and its inverse undoes it', async () => {
    const a = definite(20);
    const { root, inverse, rank } = await symmetricRoot(a, plainProducts);
    expect(rank).toBe(20);
    expect(distance(naiveProduct(root, root).data, a.data)).toBeLessThan(SOLVED * norm(a.data));
    const undone = naiveProduct(root, inverse);
    for (let i = 0; i < 20; i++) expect(undone.data[i * 21]).toBeCloseTo(1, 10);
  });

  it('leaves directions without any statistics out of both roots', async () => {
    const half = randomMatrix(6, 2, 4);
    const { root, inverse, rank } = await symmetricRoot(naiveProduct(half, half, false, true), plainProducts);
    expect(rank).toBe(2);
    const projector = naiveProduct(root, inverse);
    expect(distance(naiveProduct(projector, half).data, half.data)).toBeLessThan(1e-9);
    expect(norm(inverse.data)).toBeLessThan(100);
  });
});
