import type { Matrix } from './matrix.js';

/** Of every column, its entry of largest magnitude (the first of equals), with its sign. */
export function findLargestColumnEntries(a: Matrix): Float64Array {
  const largest = new Float64Array(a.cols);
  for (let i = 0, at = 0; i < a.rows; i++) {
    for (let j = 0; j < a.cols; j++, at++) {
      const value = a.data[at] as number;
      if (Math.abs(value) > Math.abs(largest[j] as number)) largest[j] = value;
    }
  }
  return largest;
}

/** Negates, in place, every column whose entry in `signs` is negative. */
export function negateColumns(a: Matrix, signs: Float64Array): void {
  for (let i = 0, at = 0; i < a.rows; i++) {
    for (let j = 0; j < a.cols; j++, at++) if ((signs[j] as number) < 0) a.data[at] = -(a.data[at] as number);
  }
}

/** Negates, in place, every row whose entry in `signs` is negative. */
export function negateRows(a: Matrix, signs: Float64Array): void {
  for (let i = 0; i < a.rows; i++) {
    if ((signs[i] as number) >= 0) continue;
    for (let at = i * a.cols; at < (i + 1) * a.cols; at++) a.data[at] = -(a.data[at] as number);
  }
}
