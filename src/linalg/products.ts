/*
 * C = op(A) op(B), op the identity or the transpose: the one operation of a truncated SVD that costs real time. Whoever
 * calls it brings the provider (an engine's kernels, or these plain loops). Tiles are packed so that both operands of
 * the innermost loop are contiguous and stay in cache (Goto, van de Geijn 2008, doi:10.1145/1356052.1356053).
 */
import { ShiboriError } from '../errors.js';
import { type Matrix, matrix, type SingleMatrix, toDouble, toSingle } from './matrix.js';

/** Which operands of a product are transposed. Default: none. */
export interface ProductOptions {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
}

/** A provider of matrix products. */
export interface MatrixProducts {
  /**
   * op(A) op(B) as a fresh matrix. The operands are only read.
   *
   * @throws ShiboriError when the inner dimensions differ.
   */
  multiply(a: Matrix, b: Matrix, options: ProductOptions): Promise<Matrix>;
  /** The same of float32 matrices: half of the memory, twice the speed, for sums over samples whose noise is far above. */
  multiplySingle(a: SingleMatrix, b: SingleMatrix, options: ProductOptions): Promise<SingleMatrix>;
}

/** What of an operand its product depends on. */
type Shape = Pick<Matrix, 'rows' | 'cols'>;

/** Rows and columns `[m, k, n]` of a product `[m, k]·[k, n]`. Throws when the operands do not fit together. */
export function computeProductDims(a: Shape, b: Shape, options: ProductOptions): [m: number, k: number, n: number] {
  const [m, k] = options.transposeA ? [a.cols, a.rows] : [a.rows, a.cols];
  const [inner, n] = options.transposeB ? [b.cols, b.rows] : [b.rows, b.cols];
  if (k !== inner) {
    throw new ShiboriError(
      `Matrix product: expected [${m}, ${k}] times [${k}, n], found a right side [${inner}, ${n}].`,
      { code: 'not-finite' },
    );
  }
  return [m, k, n];
}

/** Rows of a packed tile, and its depth: two tiles of 64 × 256 float64 fit a 512 KiB second-level cache twice. */
const TILE = 64;
const TILE_DEPTH = 256;

/** Copies rows `row…row + rows` and columns `col…col + cols` of op(source) to `target`, row after row. */
function pack(
  target: Float64Array,
  source: Matrix,
  transposed: boolean,
  row: number,
  rows: number,
  col: number,
  cols: number,
): void {
  const { data, cols: stride } = source;
  if (!transposed) {
    for (let i = 0; i < rows; i++) {
      const from = (row + i) * stride + col;
      for (let j = 0; j < cols; j++) target[i * cols + j] = data[from + j] as number;
    }
    return;
  }
  for (let j = 0; j < cols; j++) {
    const from = (col + j) * stride + row;
    for (let i = 0; i < rows; i++) target[i * cols + j] = data[from + i] as number;
  }
}

/** c[i0 + i, j0 + j] += row i of `p` · row j of `q`, both packed with `depth` columns. */
function multiplyTiles(
  c: Matrix,
  i0: number,
  rows: number,
  p: Float64Array,
  j0: number,
  cols: number,
  q: Float64Array,
  depth: number,
): void {
  const { data, cols: stride } = c;
  let i = 0;
  for (; i + 2 <= rows; i += 2) {
    const p0 = i * depth;
    const p1 = p0 + depth;
    let j = 0;
    for (; j + 4 <= cols; j += 4) {
      // Eight sums at once: six loads serve eight multiplications, and everything fits the sixteen registers.
      const q0 = j * depth;
      const q1 = q0 + depth;
      const q2 = q1 + depth;
      const q3 = q2 + depth;
      let s00 = 0;
      let s01 = 0;
      let s02 = 0;
      let s03 = 0;
      let s10 = 0;
      let s11 = 0;
      let s12 = 0;
      let s13 = 0;
      for (let k = 0; k < depth; k++) {
        const a0 = p[p0 + k] as number;
        const a1 = p[p1 + k] as number;
        const b0 = q[q0 + k] as number;
        const b1 = q[q1 + k] as number;
        const b2 = q[q2 + k] as number;
        const b3 = q[q3 + k] as number;
        s00 += a0 * b0;
        s01 += a0 * b1;
        s02 += a0 * b2;
        s03 += a0 * b3;
        s10 += a1 * b0;
        s11 += a1 * b1;
        s12 += a1 * b2;
        s13 += a1 * b3;
      }
      const c0 = (i0 + i) * stride + j0 + j;
      const c1 = c0 + stride;
      data[c0] = (data[c0] as number) + s00;
      data[c0 + 1] = (data[c0 + 1] as number) + s01;
      data[c0 + 2] = (data[c0 + 2] as number) + s02;
      data[c0 + 3] = (data[c0 + 3] as number) + s03;
      data[c1] = (data[c1] as number) + s10;
      data[c1 + 1] = (data[c1 + 1] as number) + s11;
      data[c1 + 2] = (data[c1 + 2] as number) + s12;
      data[c1 + 3] = (data[c1 + 3] as number) + s13;
    }
    for (; j < cols; j++) {
      addDot(data, (i0 + i) * stride + j0 + j, p, p0, q, j * depth, depth);
      addDot(data, (i0 + i + 1) * stride + j0 + j, p, p1, q, j * depth, depth);
    }
  }
  for (; i < rows; i++) {
    for (let j = 0; j < cols; j++) addDot(data, (i0 + i) * stride + j0 + j, p, i * depth, q, j * depth, depth);
  }
}

/** target[at] += p[p0…] · q[q0…] over `depth` elements. */
function addDot(
  target: Float64Array,
  at: number,
  p: Float64Array,
  p0: number,
  q: Float64Array,
  q0: number,
  depth: number,
): void {
  let sum = 0;
  for (let k = 0; k < depth; k++) sum += (p[p0 + k] as number) * (q[q0 + k] as number);
  target[at] = (target[at] as number) + sum;
}

function multiply(a: Matrix, b: Matrix, options: ProductOptions): Matrix {
  const [m, depth, n] = computeProductDims(a, b, options);
  const transposeA = options.transposeA ?? false;
  const transposeB = options.transposeB ?? false;
  // A matrix times its own transpose: the upper triangle is the mirror of the lower one.
  const symmetric = a.data === b.data && a.rows === b.rows && transposeA !== transposeB;
  const c = matrix(m, n);
  const p = new Float64Array(TILE * TILE_DEPTH);
  const q = new Float64Array(TILE * TILE_DEPTH);
  for (let k0 = 0; k0 < depth; k0 += TILE_DEPTH) {
    const kSize = Math.min(TILE_DEPTH, depth - k0);
    for (let j0 = 0; j0 < n; j0 += TILE) {
      const cols = Math.min(TILE, n - j0);
      pack(q, b, !transposeB, j0, cols, k0, kSize);
      for (let i0 = symmetric ? j0 : 0; i0 < m; i0 += TILE) {
        const rows = Math.min(TILE, m - i0);
        pack(p, a, transposeA, i0, rows, k0, kSize);
        multiplyTiles(c, i0, rows, p, j0, cols, q, kSize);
      }
    }
  }
  if (symmetric) {
    for (let i = 0; i < m; i++) {
      for (let j = i + 1; j < n; j++) c.data[i * n + j] = c.data[j * n + i] as number;
    }
  }
  return c;
}

/** Products in plain TypeScript on the calling thread: for small matrices, tests, and where no engine is at hand. */
export const plainProducts: MatrixProducts = {
  multiply: async (a, b, options) => multiply(a, b, options),
  multiplySingle: async (a, b, options) => toSingle(multiply(toDouble(a), toDouble(b), options)),
};
