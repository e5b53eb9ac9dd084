import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { identity, type Matrix, matrix } from '../../src/linalg/matrix.js';
import { symmetricEigen } from '../../src/linalg/symmetric-eigen.js';
import {
  distance,
  expectDescending,
  expectOrthonormal,
  golden,
  naiveProduct,
  norm,
  ROUNDING,
  randomMatrix,
} from './support.js';

function diagonalMatrix(values: readonly number[]): Matrix {
  const result = matrix(values.length, values.length);
  values.forEach((value, i) => {
    result.data[i * values.length + i] = value;
  });
  return result;
}

/** Asserts everything that an eigenvalue decomposition promises. */
function expectDecomposition(a: Matrix): Float64Array {
  const { values, vectors } = symmetricEigen(a);
  expectDescending(values);
  expectOrthonormal(vectors, ROUNDING);
  const rebuilt = naiveProduct(naiveProduct(vectors, diagonalMatrix([...values])), vectors, false, true);
  expect(distance(rebuilt.data, a.data)).toBeLessThanOrEqual(ROUNDING * norm(a.data));
  for (let j = 0; j < a.cols; j++) {
    const column = Array.from({ length: a.rows }, (_, i) => vectors.data[i * a.cols + j] ?? 0);
    expect(Math.max(...column)).toBeGreaterThanOrEqual(-Math.min(...column));
  }
  return values;
}

describe('symmetricEigen', () => {
  it('finds the eigenvalues that LAPACK finds', () => {
    const { size, values, eigenvalues } = golden.symmetric;
    const found = symmetricEigen(matrix(size, size, Float64Array.from(values))).values;
    expect(distance(found, eigenvalues)).toBeLessThan(ROUNDING);
  });

  it('decomposes every symmetric matrix', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.nat(),
        fc.integer({ min: -200, max: 200 }),
        (n, seed, exponent) => {
          const b = randomMatrix(n, n, seed);
          const a = matrix(n, n);
          for (let i = 0; i < n; i++) {
            for (let j = 0; j < n; j++) {
              a.data[i * n + j] = ((b.data[i * n + j] ?? 0) + (b.data[j * n + i] ?? 0)) * 10 ** exponent;
            }
          }
          if (Math.abs(exponent) < 100) expectDecomposition(a);
          // Norms of the rest overflow; their decomposition must not.
          else expect(symmetricEigen(a).values.every(Number.isFinite)).toBe(true);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('handles what is already diagonal, repeated, zero, low in rank or graded', () => {
    expect([...expectDecomposition(diagonalMatrix([3, -1, 7, 3, 0]))]).toEqual([7, 3, 3, 0, -1]);
    expect([...expectDecomposition(identity(6))]).toEqual([1, 1, 1, 1, 1, 1]);
    expect([...expectDecomposition(matrix(4, 4))]).toEqual([0, 0, 0, 0]);
    const ones = expectDecomposition(matrix(30, 30, new Float64Array(900).fill(1)));
    expect(Math.abs((ones[0] ?? 0) - 30)).toBeLessThan(ROUNDING * 30);
    expect(Math.abs(ones[1] ?? 1)).toBeLessThan(ROUNDING * 30);
    const thin = randomMatrix(25, 3, 5);
    expectDecomposition(naiveProduct(thin, thin, false, true));
    expectDecomposition(diagonalMatrix(Array.from({ length: 20 }, (_, i) => 10 ** -i)));
    const graded = matrix(20, 20);
    for (let i = 0; i < 20; i++)
      for (let j = 0; j < 20; j++) graded.data[i * 20 + j] = 10 ** -(i + j) / (1 + Math.abs(i - j));
    expectDecomposition(graded);
  });

  it('reads only the lower triangle and leaves the matrix as it was', () => {
    const a = randomMatrix(6, 6, 3);
    for (let i = 0; i < 6; i++) for (let j = 0; j < i; j++) a.data[j * 6 + i] = a.data[i * 6 + j] ?? 0;
    const before = a.data.slice();
    const { values } = symmetricEigen(a);
    expect(a.data).toEqual(before);
    const lower = matrix(
      6,
      6,
      a.data.map((value, at) => (at % 6 > Math.floor(at / 6) ? 99 : value)),
    );
    expect(symmetricEigen(lower).values).toEqual(values);
  });

  it('refuses rectangles, NaN and infinities', () => {
    expect(() => symmetricEigen(matrix(2, 3))).toThrow(/expected a square matrix, found 2×3/);
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => symmetricEigen(matrix(2, 2, Float64Array.of(1, 0, value, 1)))).toThrow(/NaN or infinite/);
    }
  });
});
