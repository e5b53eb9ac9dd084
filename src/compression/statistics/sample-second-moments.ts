/*
 * Second moments of samples, G = X Xᵀ / S + diag(ridge), computed of the samples X `[n, S]` themselves: what a fit asks of G
 * takes a few passes over X, where G of a wide convolution (4608 inputs for 512 channels) costs more to sum up and to factor
 * than everything else. Rows of X lie in the order of the weight's axes, so that any unfolding left | right is X again, seen
 * as `[left, right·S]`.
 */
import { type Matrix, matrix, type SingleMatrix, sliceRows, toDouble, toSingle } from '../../linalg/matrix.js';
import type { MatrixProducts } from '../../linalg/products.js';
import { range } from '../../tensor/dims.js';
import type { Samples } from './layer-samples.js';
import {
  addToDiagonal,
  computeTrace,
  createMatrixMoments,
  type Marginals,
  mirrorLowerTriangle,
  type SecondMoments,
} from './second-moment-matrix.js';

/** Pairs of a left index and a sample that the right marginal is summed over: it has a few numbers only. */
const RIGHT_PAIRS = 2 ** 19;

function reshapeRows({ data }: SingleMatrix, rows: number): SingleMatrix {
  return { rows, cols: data.length / rows, data };
}

/** Σ over left indices and some of the samples of x xᵀ `[right, right]`, on the scale of a sum over all of them. */
function sumRightProducts(columns: SingleMatrix, right: number): Matrix {
  const { rows, cols: samples, data } = columns;
  const left = rows / right;
  const step = Math.max(1, Math.floor((left * samples) / RIGHT_PAIRS));
  const result = matrix(right, right);
  let taken = 0;
  for (let s = 0; s < samples; s += step) taken++;
  for (let c = 0; c < right; c++) {
    for (let d = 0; d <= c; d++) {
      let sum = 0;
      for (let a = 0; a < left; a++) {
        const [one, other] = [(a * right + c) * samples, (a * right + d) * samples];
        for (let s = 0; s < samples; s += step) sum += (data[one + s] as number) * (data[other + s] as number);
      }
      result.data[c * right + d] = (sum * samples) / taken;
      result.data[d * right + c] = (sum * samples) / taken;
    }
  }
  return result;
}

/** coreᵀ (diag(ridge of each right index) ⊗ 1) core, added to the blocks of a Gram matrix `[r·right, r·right]`. */
async function addProjectedDamping(
  gram: Matrix,
  core: Matrix,
  damping: Float64Array,
  products: MatrixProducts,
): Promise<void> {
  const { rows: left, cols: rank } = core;
  const right = damping.length / left;
  for (const c of range(right)) {
    const weighted = core.data.map((value, at) => value * (damping[Math.floor(at / rank) * right + c] as number));
    const block = await products.multiply(core, matrix(left, rank, weighted), { transposeA: true });
    for (let p = 0; p < rank; p++) {
      for (let q = 0; q < rank; q++) {
        const at = (p * right + c) * gram.cols + q * right + c;
        gram.data[at] = (gram.data[at] as number) + (block.data[p * rank + q] as number);
      }
    }
  }
}

/** Rows of a Gram matrix whose products with the rows up to them are computed apart: only one triangle is. */
const GRAM_BLOCK = 1152;

/** X Xᵀ / `count` in float64. */
async function computeMeanProducts(columns: SingleMatrix, count: number, products: MatrixProducts): Promise<Matrix> {
  const size = columns.rows;
  const gram = matrix(size, size);
  for (let from = 0; from < size; from += GRAM_BLOCK) {
    const to = Math.min(size, from + GRAM_BLOCK);
    const before = sliceRows(columns, 0, to);
    const { data } = await products.multiplySingle(sliceRows(columns, from, to), before, { transposeB: true });
    for (let i = from, at = 0; i < to; i++) {
      for (let j = 0; j < to; j++, at++) gram.data[i * size + j] = (data[at] as number) / count;
    }
  }
  return mirrorLowerTriangle(gram);
}

/** E[x xᵀ] `[n, n]` of samples. */
export function computeSampleCovariance({ columns }: Samples, products: MatrixProducts): Promise<Matrix> {
  return computeMeanProducts(columns, columns.cols, products);
}

/**
 * Second moments of samples.
 *
 * @param damping added to the diagonal `[n]`: damping, and what pulls a regression to where it came from.
 */
export function createSampleMoments(
  { columns }: Samples,
  damping: Float64Array,
  products: MatrixProducts,
): SecondMoments {
  const { rows: size, cols: samples } = columns;
  const known = new Map<number, Promise<Marginals>>();
  async function marginals(right: number): Promise<Marginals> {
    const left = await computeMeanProducts(reshapeRows(columns, size / right), samples, products);
    const small = sumRightProducts(columns, right);
    for (let i = 0; i < small.data.length; i++) small.data[i] = (small.data[i] as number) / samples;
    for (const [i, value] of damping.entries()) {
      const [a, c] = [Math.floor(i / right), i % right];
      left.data[a * left.cols + a] = (left.data[a * left.cols + a] as number) + value;
      small.data[c * right + c] = (small.data[c * right + c] as number) + value;
    }
    const trace = computeTrace(left);
    return {
      left,
      right: matrix(
        right,
        right,
        small.data.map((value) => value / trace),
      ),
    };
  }
  return {
    size,
    async computeMatrix() {
      return addToDiagonal(await computeMeanProducts(columns, samples, products), damping);
    },
    computeMarginals(right) {
      const found = known.get(right) ?? marginals(right);
      known.set(right, found);
      return found;
    },
    async multiply(map) {
      const inner = await products.multiplySingle(columns, toSingle(map), { transposeA: true });
      const { data } = await products.multiplySingle(columns, inner, {});
      return matrix(
        map.rows,
        map.cols,
        map.data.map(
          (value, at) => (data[at] as number) / samples + value * (damping[Math.floor(at / map.cols)] as number),
        ),
      );
    },
    async project(core) {
      const seen = await products.multiplySingle(toSingle(core), reshapeRows(columns, core.rows), { transposeA: true });
      const gram = await computeMeanProducts(reshapeRows(seen, seen.data.length / samples), samples, products);
      await addProjectedDamping(gram, core, damping, products);
      return createMatrixMoments(gram, products);
    },
  };
}

/** E[x tᵀ] of samples of x `[n, S]` and t `[O, S]`. */
export async function computeCrossCovariance(x: Samples, t: Samples, products: MatrixProducts): Promise<Matrix> {
  const cross = toDouble(await products.multiplySingle(x.columns, t.columns, { transposeB: true }));
  for (let i = 0; i < cross.data.length; i++) cross.data[i] = (cross.data[i] as number) / x.columns.cols;
  return cross;
}
