/*
 * A = L Lᵀ with L lower triangular, for symmetric positive definite A, a block of columns at a time (left-looking):
 *   panel = A[k…, k] − L[k…, <k] L[k, <k]ᵀ;   its top block is factorised plainly, the rest is times its inverse transposed.
 * All work beyond n²·block is matrix products. Triangular systems are solved with the inverses of the diagonal blocks.
 * Source: Golub, Van Loan, Matrix Computations, 4th ed., §4.2.
 */
import { ShiboriError } from '../errors.js';
import { type Matrix, matrix, sliceRows } from './matrix.js';
import type { MatrixProducts } from './products.js';

/** Columns of a block: below it plain loops are as fast as products that copy their operands. */
const BLOCK = 256;

/** A matrix that has no Cholesky factor. */
export class NotPositiveDefinite extends ShiboriError {}

/** A Cholesky factor. */
export interface Cholesky {
  /** L, zero above the diagonal. */
  readonly lower: Matrix;
  /** The inverses of the diagonal blocks of L. */
  readonly inverses: readonly Matrix[];
}

/** Rows `from…to` of columns `first…last`, copied to `space`. Default: fresh memory. */
function copyBlock(
  { cols, data }: Matrix,
  from: number,
  to: number,
  first: number,
  last: number,
  space?: Float64Array,
): Matrix {
  const width = last - first;
  const result = matrix(to - from, width, space?.subarray(0, (to - from) * width));
  for (let i = from; i < to; i++) {
    result.data.set(data.subarray(i * cols + first, i * cols + last), (i - from) * width);
  }
  return result;
}

/** target[from…, first…] −= source. */
function subtract(target: Matrix, source: Matrix, from: number, first: number): void {
  for (let i = 0; i < source.rows; i++) {
    const to = (from + i) * target.cols + first;
    const at = i * source.cols;
    for (let j = 0; j < source.cols; j++) {
      target.data[to + j] = (target.data[to + j] as number) - (source.data[at + j] as number);
    }
  }
}

/** Factors a small matrix in place; the number of the first pivot that is not positive, or −1. */
function factorBlock({ rows: n, data }: Matrix): number {
  for (let j = 0; j < n; j++) {
    for (let i = j; i < n; i++) {
      let sum = data[i * n + j] as number;
      for (let k = 0; k < j; k++) sum -= (data[i * n + k] as number) * (data[j * n + k] as number);
      if (i > j) data[i * n + j] = sum / (data[j * n + j] as number);
      else if (sum > 0) data[i * n + j] = Math.sqrt(sum);
      else return j;
    }
    data.fill(0, j * n + j + 1, (j + 1) * n);
  }
  return -1;
}

/** The inverse of a small lower triangular matrix. */
function invertLower({ rows: n, data }: Matrix): Matrix {
  const inverse = matrix(n, n);
  for (let j = 0; j < n; j++) {
    inverse.data[j * n + j] = 1 / (data[j * n + j] as number);
    for (let i = j + 1; i < n; i++) {
      let sum = 0;
      for (let k = j; k < i; k++) sum -= (data[i * n + k] as number) * (inverse.data[k * n + j] as number);
      inverse.data[i * n + j] = sum / (data[i * n + i] as number);
    }
  }
  return inverse;
}

/**
 * The Cholesky factor of a symmetric matrix; only its lower triangle is read.
 *
 * @param shift added to the diagonal. Default: 0.
 * @throws ShiboriError when the matrix is not square, NotPositiveDefinite when it is not (damp it: add to its diagonal).
 */
export async function cholesky(a: Matrix, products: MatrixProducts, shift = 0): Promise<Cholesky> {
  const n = a.rows;
  if (a.cols !== n)
    throw new ShiboriError(`Cholesky: expected a square matrix, found ${n}×${a.cols}.`, { code: 'not-finite' });
  const lower = matrix(n, n);
  const inverses: Matrix[] = [];
  // The rows to the left are copied for every block; fresh memory each time would cost more than the products.
  const space = new Float64Array(Math.ceil(n ** 2 / 4));
  for (let k = 0; k < n; k += BLOCK) {
    const end = Math.min(n, k + BLOCK);
    const panel = copyBlock(a, k, n, k, end);
    if (k > 0) {
      const rows = copyBlock(lower, k, n, 0, k, space);
      subtract(panel, await products.multiply(rows, sliceRows(rows, 0, end - k), { transposeB: true }), 0, 0);
    }
    const top = sliceRows(panel, 0, end - k);
    for (let i = 0; i < top.rows; i++) top.data[i * top.cols + i] = (top.data[i * top.cols + i] as number) + shift;
    const stuck = factorBlock(top);
    if (stuck >= 0) {
      throw new NotPositiveDefinite(
        `Cholesky: the matrix is not positive definite (row ${k + stuck} of ${n}). Damp it, or check it for NaN.`,
        { code: 'not-finite' },
      );
    }
    const inverse = invertLower(top);
    inverses.push(inverse);
    for (let i = 0; i < top.rows; i++) {
      lower.data.set(top.data.subarray(i * top.cols, (i + 1) * top.cols), (k + i) * n + k);
    }
    if (end === n) break;
    const rest = await products.multiply(sliceRows(panel, end - k, n - k), inverse, { transposeB: true });
    for (let i = 0; i < rest.rows; i++) {
      lower.data.set(rest.data.subarray(i * rest.cols, (i + 1) * rest.cols), (end + i) * n + k);
    }
  }
  return { lower, inverses };
}

/** X with L X = B. */
export async function forwardSolve(factor: Cholesky, b: Matrix, products: MatrixProducts): Promise<Matrix> {
  const { lower, inverses } = factor;
  const x = matrix(b.rows, b.cols, b.data.slice());
  for (const [index, inverse] of inverses.entries()) {
    const k = index * BLOCK;
    const end = k + inverse.rows;
    if (k > 0) {
      subtract(x, await products.multiply(copyBlock(lower, k, end, 0, k), sliceRows(x, 0, k), {}), k, 0);
    }
    x.data.set((await products.multiply(inverse, sliceRows(x, k, end), {})).data, k * b.cols);
  }
  return x;
}

/** X with Lᵀ X = B. */
export async function backSolve(factor: Cholesky, b: Matrix, products: MatrixProducts): Promise<Matrix> {
  const { lower, inverses } = factor;
  const n = lower.rows;
  const x = matrix(b.rows, b.cols, b.data.slice());
  for (const [index, inverse] of [...inverses.entries()].reverse()) {
    const k = index * BLOCK;
    const end = k + inverse.rows;
    if (end < n) {
      const below = copyBlock(lower, end, n, k, end);
      subtract(x, await products.multiply(below, sliceRows(x, end, n), { transposeA: true }), k, 0);
    }
    const solved = await products.multiply(inverse, sliceRows(x, k, end), { transposeA: true });
    x.data.set(solved.data, k * b.cols);
  }
  return x;
}

/** X with A X = B, A = L Lᵀ. */
export async function choleskySolve(factor: Cholesky, b: Matrix, products: MatrixProducts): Promise<Matrix> {
  return backSolve(factor, await forwardSolve(factor, b, products), products);
}
