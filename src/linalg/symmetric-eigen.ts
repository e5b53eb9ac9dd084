/*
 * A = V diag(values) Vᵀ for a real symmetric A, in O(n³).
 *   1. Householder reflections H = I − v vᵀ / h reduce A to tridiagonal T = Qᵀ A Q, Q = H(n−1) … H(1).
 *   2. Implicit QL steps with Wilkinson's shift diagonalise T by plane rotations, which are applied to Q.
 * Convention: values descending, eigenvectors in the columns of V, each with its largest entry positive.
 * Source: Golub, Van Loan, Matrix Computations, 4th ed., §8.3.
 */
import { ShiboriError } from '../errors.js';
import { type Matrix, matrix, selectColumns } from './matrix.js';
import { RotationQueue } from './rotations.js';
import { findLargestColumnEntries, negateColumns } from './signs.js';

/** An eigenvalue decomposition: `values` descending, eigenvectors in the columns of `vectors` `[n, n]`. */
export interface SymmetricEigen {
  readonly values: Float64Array;
  readonly vectors: Matrix;
}

/** QL steps for one eigenvalue; two are usual, and none has been seen to need thirty. */
const MAX_STEPS = 100;

/**
 * Eigenvalues and orthonormal eigenvectors of a symmetric matrix `[n, n]`; only its lower triangle is read. Errors of
 * the values are of the order of 1e-16 times the largest one.
 *
 * @throws ShiboriError when the matrix is not square or holds a value that is not finite.
 */
export function symmetricEigen(a: Matrix): SymmetricEigen {
  const n = a.rows;
  if (a.cols !== n)
    throw new ShiboriError(`Eigenvalues: expected a square matrix, found ${a.rows}×${a.cols}.`, { code: 'not-finite' });
  const { scaled, scale } = copyScaled(a);
  const tridiagonal = tridiagonalize(scaled, n);
  const { diagonal, subdiagonal } = tridiagonal;
  const q = multiplyReflections(scaled, tridiagonal.h, n);
  diagonalize(diagonal, subdiagonal, q, n);

  const order = Array.from(diagonal.keys()).sort((i, j) => (diagonal[j] as number) - (diagonal[i] as number));
  const vectors = selectColumns(matrix(n, n, q), order);
  negateColumns(vectors, findLargestColumnEntries(vectors));
  return { values: Float64Array.from(order, (i) => (diagonal[i] as number) / scale), vectors };
}

/** A copy times a power of two (exact) that brings the largest entry near one: no square over- or underflows. */
function copyScaled(a: Matrix): { scaled: Float64Array; scale: number } {
  let largest = 0;
  for (let i = 0; i < a.rows; i++) {
    for (let at = i * a.cols; at <= i * a.cols + i; at++) {
      const size = Math.abs(a.data[at] as number);
      // Written so that NaN fails it.
      if (!(size < Number.POSITIVE_INFINITY)) {
        throw new ShiboriError(
          'Eigenvalues: the matrix holds NaN or infinite values. Check the weights it comes from.',
          { code: 'not-finite' },
        );
      }
      if (size > largest) largest = size;
    }
  }
  const scale = largest === 0 ? 1 : 2 ** -Math.max(-1022, Math.min(1022, Math.floor(Math.log2(largest))));
  return { scaled: a.data.map((value) => value * scale), scale };
}

interface Tridiagonal {
  readonly diagonal: Float64Array;
  /** Element i couples i − 1 and i; element 0 is unused. */
  readonly subdiagonal: Float64Array;
  /** The h of the reflection that is kept in row i; 0 where there was nothing to reflect. */
  readonly h: Float64Array;
}

/**
 * Reduces the lower triangle of `a`, last row first; entry (i, 0…i − 1) becomes the Householder vector v of step i.
 *   p = A v / h,  q = p − (v·p / 2h) v,  A ← A − v qᵀ − q vᵀ
 */
function tridiagonalize(a: Float64Array, n: number): Tridiagonal {
  const diagonal = new Float64Array(n);
  const subdiagonal = new Float64Array(n);
  const h = new Float64Array(n);
  const p = new Float64Array(n);
  for (let i = n - 1; i >= 1; i--) {
    const row = i * n;
    let squares = 0;
    for (let k = 0; k < i - 1; k++) squares += (a[row + k] as number) ** 2;
    const pivot = a[row + i - 1] as number;
    if (squares === 0) {
      subdiagonal[i] = pivot;
      continue;
    }
    const norm = Math.sqrt(squares + pivot * pivot);
    const alpha = pivot > 0 ? -norm : norm;
    const hi = norm * norm - pivot * alpha;
    a[row + i - 1] = pivot - alpha;
    subdiagonal[i] = alpha;
    h[i] = hi;

    multiplyLower(a, n, i, row, p);
    let vp = 0;
    for (let k = 0; k < i; k++) vp += (a[row + k] as number) * (p[k] as number);
    const shift = vp / (2 * hi * hi);
    for (let k = 0; k < i; k++) p[k] = (p[k] as number) / hi - shift * (a[row + k] as number);
    for (let j = 0; j < i; j++) {
      const vj = a[row + j] as number;
      const qj = p[j] as number;
      const at = j * n;
      for (let k = 0; k <= j; k++) {
        a[at + k] = (a[at + k] as number) - vj * (p[k] as number) - qj * (a[row + k] as number);
      }
    }
  }
  for (let i = 0; i < n; i++) diagonal[i] = a[i * n + i] as number;
  return { diagonal, subdiagonal, h };
}

/** p = A v for the symmetric leading block of `size` rows, whose lower triangle is stored; v starts at `a[v]`. */
function multiplyLower(a: Float64Array, n: number, size: number, v: number, p: Float64Array): void {
  let j = 0;
  // Two rows at once: p is read and written half as often.
  for (; j + 2 <= size; j += 2) {
    const r0 = j * n;
    const r1 = r0 + n;
    const v0 = a[v + j] as number;
    const v1 = a[v + j + 1] as number;
    let s0 = (a[r0 + j] as number) * v0 + (a[r1 + j] as number) * v1;
    let s1 = (a[r1 + j] as number) * v0 + (a[r1 + j + 1] as number) * v1;
    for (let k = 0; k < j; k++) {
      const a0 = a[r0 + k] as number;
      const a1 = a[r1 + k] as number;
      const vk = a[v + k] as number;
      s0 += a0 * vk;
      s1 += a1 * vk;
      p[k] = (p[k] as number) + a0 * v0 + a1 * v1;
    }
    p[j] = s0;
    p[j + 1] = s1;
  }
  if (j < size) {
    const r0 = j * n;
    const v0 = a[v + j] as number;
    let s0 = (a[r0 + j] as number) * v0;
    for (let k = 0; k < j; k++) {
      const a0 = a[r0 + k] as number;
      s0 += a0 * (a[v + k] as number);
      p[k] = (p[k] as number) + a0 * v0;
    }
    p[j] = s0;
  }
}

/** Q = H(n−1) … H(1) as `[n, n]`, from the vectors in the rows of `a`: reflection i touches the leading i × i block. */
function multiplyReflections(a: Float64Array, h: Float64Array, n: number): Float64Array {
  const q = new Float64Array(n * n);
  const w = new Float64Array(n);
  for (let i = 0; i < n; i++) q[i * n + i] = 1;
  for (let i = 1; i < n; i++) {
    const hi = h[i] as number;
    if (hi === 0) continue;
    const v = i * n;
    w.fill(0, 0, i);
    let j = 0;
    for (; j + 4 <= i; j += 4) {
      const v0 = a[v + j] as number;
      const v1 = a[v + j + 1] as number;
      const v2 = a[v + j + 2] as number;
      const v3 = a[v + j + 3] as number;
      const r0 = j * n;
      const r1 = r0 + n;
      const r2 = r1 + n;
      const r3 = r2 + n;
      for (let k = 0; k < i; k++) {
        const left = v0 * (q[r0 + k] as number) + v1 * (q[r1 + k] as number);
        const right = v2 * (q[r2 + k] as number) + v3 * (q[r3 + k] as number);
        w[k] = (w[k] as number) + (left + right);
      }
    }
    for (; j < i; j++) {
      const vj = a[v + j] as number;
      for (let k = 0, at = j * n; k < i; k++, at++) w[k] = (w[k] as number) + vj * (q[at] as number);
    }
    for (j = 0; j + 2 <= i; j += 2) {
      const v0 = (a[v + j] as number) / hi;
      const v1 = (a[v + j + 1] as number) / hi;
      const r0 = j * n;
      const r1 = r0 + n;
      for (let k = 0; k < i; k++) {
        const wk = w[k] as number;
        q[r0 + k] = (q[r0 + k] as number) - v0 * wk;
        q[r1 + k] = (q[r1 + k] as number) - v1 * wk;
      }
    }
    if (j < i) {
      const vj = (a[v + j] as number) / hi;
      for (let k = 0, at = j * n; k < i; k++, at++) q[at] = (q[at] as number) - vj * (w[k] as number);
    }
  }
  return q;
}

/** Diagonalises the tridiagonal matrix in place; its eigenvectors are multiplied onto the columns of `q`. */
function diagonalize(d: Float64Array, e: Float64Array, q: Float64Array, n: number): void {
  const rotations = new RotationQueue(q, n);
  // e[i] couples i and i + 1 from here on.
  e.copyWithin(0, 1);
  e[n - 1] = 0;
  // The floor ends the work on blocks that are pure rounding compared with the rest of the matrix.
  let norm = 0;
  for (let i = 0; i < n; i++) norm = Math.max(norm, Math.abs(d[i] as number) + Math.abs(e[i] as number));
  const floor = Number.EPSILON * Number.EPSILON * norm;

  for (let first = 0; first < n; first++) {
    for (let step = 0; ; step++) {
      let last = first;
      while (last < n - 1) {
        const neighbours = Math.abs(d[last] as number) + Math.abs(d[last + 1] as number);
        if (Math.abs(e[last] as number) <= Number.EPSILON * neighbours + floor) break;
        last++;
      }
      if (last === first) break;
      if (step === MAX_STEPS)
        throw new ShiboriError(`Eigenvalues: no convergence after ${MAX_STEPS} QL steps.`, { code: 'not-finite' });
      applyQlStep(d, e, first, last, rotations);
    }
  }
  rotations.flush();
}

/** One implicit QL step on the unreduced block `first…last`: the bulge is chased from its end to its start. */
function applyQlStep(d: Float64Array, e: Float64Array, first: number, last: number, rotations: RotationQueue): void {
  const d0 = d[first] as number;
  const e0 = e[first] as number;
  const half = ((d[first + 1] as number) - d0) / (2 * e0);
  const root = Math.sqrt(half * half + 1);
  const shift = d0 - e0 / (half + (half >= 0 ? root : -root));
  let g = (d[last] as number) - shift;
  let sine = 1;
  let cosine = 1;
  let carried = 0;
  rotations.begin(last);
  for (let i = last - 1; i >= first; i--) {
    const f = sine * (e[i] as number);
    const b = cosine * (e[i] as number);
    const r = Math.sqrt(f * f + g * g);
    e[i + 1] = r;
    if (r === 0) {
      // The block falls apart here: what is left of the bulge is folded back, and the next step starts again.
      d[i + 1] = (d[i + 1] as number) - carried;
      e[last] = 0;
      rotations.end();
      return;
    }
    sine = f / r;
    cosine = g / r;
    const next = (d[i + 1] as number) - carried;
    const t = ((d[i] as number) - next) * sine + 2 * cosine * b;
    carried = sine * t;
    d[i + 1] = next + carried;
    g = cosine * t - b;
    rotations.push(cosine, sine);
  }
  d[first] = d0 - carried;
  e[first] = g;
  e[last] = 0;
  rotations.end();
}
