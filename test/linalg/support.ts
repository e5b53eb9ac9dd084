import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { type Matrix, matrix } from '../../src/linalg/matrix.js';
import { seeded } from '../../src/tensor/random.js';

interface GoldenTrain {
  values: number[];
  approximation: number[];
  bonds: number[];
  error: number;
  bound: number;
}
interface Golden {
  matrices: {
    name: string;
    rows: number;
    cols: number;
    values: number[];
    singularValues: number[];
    firstLeft: number[];
  }[];
  symmetric: { size: number; values: number[]; eigenvalues: number[] };
  trains: (GoldenTrain & { modes: number[] })[];
  paired: (GoldenTrain & { outModes: number[]; inModes: number[] })[];
}

/** What NumPy's LAPACK makes of small matrices and tensors. */
export const golden: Golden = JSON.parse(
  readFileSync(new URL('../golden/decompose/decompositions.json', import.meta.url), 'utf8'),
);

/** Rounding of short float64 computations on numbers near one, with room. */
export const ROUNDING = 1e-12;

/** What singular values and vectors keep when they come from a Gram matrix: half of the digits. */
export const GRAM = 1e-7;

/** Reproducible numbers in −1…1. */
export function randomValues(count: number, ...keys: number[]): Float64Array {
  const stream = seeded(...keys);
  return Float64Array.from({ length: count }, () => stream.uniform(-1, 1));
}

export function randomMatrix(rows: number, cols: number, ...keys: number[]): Matrix {
  return matrix(rows, cols, randomValues(rows * cols, ...keys));
}

export function norm(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += (values[i] ?? Number.NaN) ** 2;
  return Math.sqrt(sum);
}

/** Euclidean distance. */
export function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  return norm(Float64Array.from(a, (value, i) => value - (b[i] ?? Number.NaN)));
}

/** op(A) op(B) by the definition, element by element. */
export function naiveProduct(a: Matrix, b: Matrix, transposeA = false, transposeB = false): Matrix {
  const [m, depth] = transposeA ? [a.cols, a.rows] : [a.rows, a.cols];
  const n = transposeB ? b.rows : b.cols;
  const result = matrix(m, n);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let k = 0; k < depth; k++) {
        const left = a.data[transposeA ? k * a.cols + i : i * a.cols + k] ?? Number.NaN;
        sum += left * (b.data[transposeB ? j * b.cols + k : k * b.cols + j] ?? Number.NaN);
      }
      result.data[i * n + j] = sum;
    }
  }
  return result;
}

/** Asserts AᵀA = I within `tolerance` for every element. */
export function expectOrthonormal(a: Matrix, tolerance: number): void {
  const gram = naiveProduct(a, a, true);
  for (let i = 0; i < a.cols; i++) {
    for (let j = 0; j < a.cols; j++) {
      const expected = i === j ? 1 : 0;
      expect(Math.abs((gram.data[i * a.cols + j] ?? Number.NaN) - expected)).toBeLessThanOrEqual(tolerance);
    }
  }
}

export function expectDescending(values: Float64Array): void {
  for (let i = 1; i < values.length; i++) expect(values[i]).toBeLessThanOrEqual(values[i - 1] ?? Number.NaN);
}
