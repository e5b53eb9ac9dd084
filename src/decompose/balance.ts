/*
 * A rank is a gauge: Gk(·, α) may be multiplied and G(k+1)(α, ·) divided by any number. Adam moves every parameter by
 * about the same absolute step, so a pair with entries of 1e-4 and 1e3 is torn apart. What counts is the size of the
 * entries, not of the cores: at equal norms a core of a million numbers has far smaller ones than a core of a hundred.
 * Cyclic balancing (Osborne 1960): each step lowers the summed mean square of the cores, whose minimum is unique. The
 * factors are powers of two, as in LAPACK's balancing, so that not a bit of the tensor changes.
 */
import type { Core, TensorTrain } from './tensor-train.js';

/** Sweeps over all ranks; trains settle within about ten. */
const MAX_SWEEPS = 100;

/**
 * The same tensor with, at every index of every rank, the root mean squares of the two adjoining slices within a factor
 * of two of each other. Slices of zeros stay as they are. The cores are new; the products of their entries are exactly the same.
 */
export function balance<T extends TensorTrain>(train: T): T {
  const cores = train.cores.map((core): Core => ({ dims: core.dims, data: core.data.slice() }));
  let changed = true;
  for (let sweep = 0; changed && sweep < MAX_SWEEPS; sweep++) {
    changed = false;
    for (let k = 0; k + 1 < cores.length; k++) {
      const [left, right] = [cores[k], cores[k + 1]];
      if (left && right && balanceNeighbours(left, right)) changed = true;
    }
  }
  return { ...train, cores };
}

/** Balances one rank in place. Returns whether anything changed. */
function balanceNeighbours(left: Core, right: Core): boolean {
  const rank = left.dims[2];
  const rowLength = right.data.length / rank;
  const leftSquares = new Float64Array(rank);
  for (let at = 0; at < left.data.length; ) {
    for (let j = 0; j < rank; j++, at++) leftSquares[j] = (leftSquares[j] as number) + (left.data[at] as number) ** 2;
  }
  const factors = new Float64Array(rank).fill(1);
  let changed = false;
  for (let j = 0; j < rank; j++) {
    let rightSquares = 0;
    for (let at = j * rowLength; at < (j + 1) * rowLength; at++) rightSquares += (right.data[at] as number) ** 2;
    // Mean squares, not sums: see above.
    const ratio = ((rightSquares / rowLength) * (left.data.length / rank)) / (leftSquares[j] as number);
    const exponent = Math.round(Math.log2(ratio) / 4);
    if (!Number.isFinite(exponent) || exponent === 0) continue;
    factors[j] = 2 ** exponent;
    changed = true;
    for (let at = j * rowLength; at < (j + 1) * rowLength; at++)
      right.data[at] = (right.data[at] as number) / 2 ** exponent;
  }
  if (!changed) return false;
  for (let at = 0; at < left.data.length; ) {
    for (let j = 0; j < rank; j++, at++) left.data[at] = (left.data[at] as number) * (factors[j] as number);
  }
  return true;
}
