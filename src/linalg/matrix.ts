import { ShiboriError } from '../errors.js';

/** A dense row-major float64 matrix: element (i, j) is `data[i * cols + j]`. */
export interface Matrix {
  readonly rows: number;
  readonly cols: number;
  readonly data: Float64Array;
}

/**
 * A matrix over existing elements (no copy), or of zeros.
 *
 * @throws ShiboriError when `data` does not hold exactly `rows × cols` elements.
 */
export function matrix(rows: number, cols: number, data: Float64Array = new Float64Array(rows * cols)): Matrix {
  if (data.length !== rows * cols) {
    throw new ShiboriError(`A ${rows}×${cols} matrix needs ${rows * cols} elements, found ${data.length}.`, {
      code: 'not-finite',
    });
  }
  return { rows, cols, data };
}

/** A dense row-major float32 matrix, for what is large and noisy: samples. */
export interface SingleMatrix {
  readonly rows: number;
  readonly cols: number;
  readonly data: Float32Array;
}

/** A copy rounded to float32. */
export function toSingle({ rows, cols, data }: Matrix): SingleMatrix {
  return { rows, cols, data: new Float32Array(data) };
}

/** A copy in float64. */
export function toDouble({ rows, cols, data }: SingleMatrix): Matrix {
  return { rows, cols, data: new Float64Array(data) };
}

/** The identity matrix of this size. */
export function identity(size: number): Matrix {
  const result = matrix(size, size);
  for (let i = 0; i < size; i++) result.data[i * size + i] = 1;
  return result;
}

/** Whether every element is exactly that of the identity. */
export function isIdentity(a: Matrix): boolean {
  if (a.rows !== a.cols) return false;
  for (let i = 0, at = 0; i < a.rows; i++) {
    for (let j = 0; j < a.cols; j++, at++) if (a.data[at] !== (i === j ? 1 : 0)) return false;
  }
  return true;
}

/** Rows `from…to` of a matrix of either precision, without a copy. */
export function sliceRows<D extends { subarray(from: number, to: number): D }>(
  { cols, data }: { readonly cols: number; readonly data: D },
  from: number,
  to: number,
): { readonly rows: number; readonly cols: number; readonly data: D } {
  return { rows: to - from, cols, data: data.subarray(from * cols, to * cols) };
}

/** a + factor · b, of the same sizes. */
export function addScaledMatrix(a: Matrix, factor: number, b: Matrix): Matrix {
  return matrix(
    a.rows,
    a.cols,
    a.data.map((value, i) => value + factor * (b.data[i] as number)),
  );
}

/** The transposed matrix, a copy. */
export function transpose(a: Matrix): Matrix {
  const { rows, cols, data } = a;
  const result = new Float64Array(rows * cols);
  // Tiles keep both the rows read and the rows written in cache.
  const tile = 32;
  for (let i0 = 0; i0 < rows; i0 += tile) {
    const iEnd = Math.min(rows, i0 + tile);
    for (let j0 = 0; j0 < cols; j0 += tile) {
      const jEnd = Math.min(cols, j0 + tile);
      for (let i = i0; i < iEnd; i++) {
        for (let j = j0; j < jEnd; j++) result[j * rows + i] = data[i * cols + j] as number;
      }
    }
  }
  return { rows: cols, cols: rows, data: result };
}

/** The columns with these numbers, in this order. */
export function selectColumns(a: Matrix, columns: readonly number[]): Matrix {
  const result = matrix(a.rows, columns.length);
  for (let i = 0, at = 0; i < a.rows; i++) {
    for (const j of columns) result.data[at++] = a.data[i * a.cols + j] as number;
  }
  return result;
}

/** The rows with these numbers, in this order. */
export function selectRows(a: Matrix, rows: readonly number[]): Matrix {
  const result = matrix(rows.length, a.cols);
  rows.forEach((row, i) => {
    result.data.set(a.data.subarray(row * a.cols, (row + 1) * a.cols), i * a.cols);
  });
  return result;
}

/** Sum of squares over this many elements is added up apart, so that rounding grows with the block, not the matrix. */
const SUM_BLOCK = 1024;

/** Sum of the squares of all values: the squared Frobenius norm. */
export function computeSumOfSquares(values: Float64Array | Float32Array): number {
  let total = 0;
  for (let start = 0; start < values.length; start += SUM_BLOCK) {
    const end = Math.min(values.length, start + SUM_BLOCK);
    let sum = 0;
    for (let i = start; i < end; i++) sum += (values[i] as number) * (values[i] as number);
    total += sum;
  }
  return total;
}
