/*
 * A = Q R: Q [m, n] with orthonormal columns, R [n, n] upper triangular with a non-negative diagonal, for m ≥ n.
 * By Householder reflections, so Q is orthonormal to rounding whatever the rank of A: where a column depends on those
 * before it, Q holds some completion of the basis and R a zero on its diagonal.
 * Source: Golub, Van Loan, Matrix Computations, 4th ed., §5.2. Columns are worked on as rows of the transpose.
 */
import { ShiboriError } from '../errors.js';
import { type Matrix, matrix, transpose } from './matrix.js';

/** A thin QR factorisation: `q` `[m, n]`, `r` `[n, n]`. */
export interface Qr {
  readonly q: Matrix;
  readonly r: Matrix;
}

/**
 * The thin QR factorisation of a matrix with at least as many rows as columns.
 *
 * @throws ShiboriError when the matrix is wide.
 */
export function qr(a: Matrix): Qr {
  const { rows: m, cols: n } = a;
  if (m < n)
    throw new ShiboriError(`QR: expected at least as many rows as columns, found ${m}×${n}.`, { code: 'not-finite' });
  const columns = transpose(a).data;
  const h = new Float64Array(n);
  const r = matrix(n, n);
  for (let j = 0; j < n; j++) {
    const at = j * m;
    for (let k = 0; k < j; k++) r.data[k * n + j] = columns[at + k] as number;
    const norm = Math.sqrt(dot(columns, at + j, columns, at + j, m - j));
    if (norm === 0) continue;
    const pivot = columns[at + j] as number;
    const alpha = pivot > 0 ? -norm : norm;
    const v = pivot - alpha;
    columns[at + j] = v;
    h[j] = -alpha * v;
    r.data[j * n + j] = alpha;
    for (let k = j + 1; k < n; k++) reflect(columns, k * m + j, columns, at + j, h[j] as number, m - j);
  }

  const basis = new Float64Array(n * m);
  for (let j = n - 1; j >= 0; j--) {
    basis[j * m + j] = 1;
    if (h[j] === 0) continue;
    for (let k = j; k < n; k++) reflect(basis, k * m + j, columns, j * m + j, h[j] as number, m - j);
  }
  for (let j = 0; j < n; j++) {
    if ((r.data[j * n + j] as number) >= 0) continue;
    for (let k = j; k < n; k++) r.data[j * n + k] = -(r.data[j * n + k] as number);
    for (let i = j * m; i < (j + 1) * m; i++) basis[i] = -(basis[i] as number);
  }
  return { q: transpose(matrix(n, m, basis)), r };
}

/** x ← x − v (v·x) / h, over `size` elements from `x` and `v` on. */
function reflect(target: Float64Array, x: number, source: Float64Array, v: number, h: number, size: number): void {
  const factor = dot(source, v, target, x, size) / h;
  if (factor === 0) return;
  for (let i = 0; i < size; i++) target[x + i] = (target[x + i] as number) - factor * (source[v + i] as number);
}

/** Four partial sums at once: one alone would wait for its own last addition. */
function dot(a: Float64Array, a0: number, b: Float64Array, b0: number, size: number): number {
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  let i = 0;
  for (; i + 4 <= size; i += 4) {
    s0 += (a[a0 + i] as number) * (b[b0 + i] as number);
    s1 += (a[a0 + i + 1] as number) * (b[b0 + i + 1] as number);
    s2 += (a[a0 + i + 2] as number) * (b[b0 + i + 2] as number);
    s3 += (a[a0 + i + 3] as number) * (b[b0 + i + 3] as number);
  }
  for (; i < size; i++) s0 += (a[a0 + i] as number) * (b[b0 + i] as number);
  return s0 + s1 + (s2 + s3);
}
