import { readReducedAxes, type reduction as specs } from '../ops/reduction.js';
import { computeStrides, normalizeAxis } from '../tensor/dims.js';
import { type DType, isFloat } from '../tensor/dtype.js';
import type { Tensor } from '../tensor/tensor.js';
import {
  expectEntry,
  fromNumbers,
  generate,
  type Kernel,
  type Kernels,
  listStridedPositions,
  readIntegers,
  readNumbers,
} from './kernel.js';

/** The strided walks over what is kept and over what is reduced: element (i, k) is at `kept[i] + reduced[k]`. */
function splitPositions(
  source: Tensor,
  axes: readonly number[],
): { readonly kept: Float64Array; readonly reduced: Float64Array } {
  const strides = computeStrides(source.dims);
  const along = (inside: boolean) => {
    const chosen = [...source.dims.keys()].filter((axis) => axes.includes(axis) === inside);
    return listStridedPositions(
      chosen.map((axis) => source.dims[axis] ?? 1),
      chosen.map((axis) => strides[axis] ?? 1),
    );
  };
  return { kept: along(false), reduced: along(true) };
}

/** Integers are rounded as in C: towards zero. */
const roundLike = (dtype: DType, value: number): number => (isFloat(dtype) ? value : Math.trunc(value));

function makeReduction(
  start: number,
  combine: (sum: number, x: number) => number,
  finish: (sum: number, count: number, dtype: DType) => number = (sum) => sum,
): Kernel<'ReduceSum'> {
  return (attributes, inputs, types) => {
    const X = expectEntry(inputs, 0);
    const x = readNumbers(X);
    const axes =
      readReducedAxes(attributes, inputs[1] && readIntegers(inputs[1]), inputs[1] !== undefined, X.dims.length) ?? [];
    const { kept, reduced } = splitPositions(X, axes);
    return [
      generate(expectEntry(types, 0), (i) => {
        let sum = start;
        for (const offset of reduced) sum = combine(sum, x[(kept[i] as number) + offset] as number);
        return finish(sum, reduced.length, X.dtype);
      }),
    ];
  };
}

/** Where the best element is along an axis: the first one, or the last if asked to. */
function makeArgReduction(isBetter: (x: number, best: number) => boolean): Kernel<'ArgMax'> {
  return ({ axis, select_last_index }, inputs, types) => {
    const X = expectEntry(inputs, 0);
    const x = readNumbers(X);
    const { kept, reduced } = splitPositions(X, [normalizeAxis(axis, X.dims.length)]);
    return [
      generate(expectEntry(types, 0), (i) => {
        let best = 0;
        for (let k = 1; k < reduced.length; k++) {
          const [value, most] = [k, best].map((at) => x[(kept[i] as number) + (reduced[at] as number)] as number);
          if (isBetter(value as number, most as number) || (select_last_index && value === most)) best = k;
        }
        return best;
      }),
    ];
  };
}

export const reduction: Kernels<keyof typeof specs> = {
  ReduceSum: makeReduction(0, (sum, x) => sum + x),
  ReduceMean: makeReduction(
    0,
    (sum, x) => sum + x,
    (sum, count, dtype) => roundLike(dtype, sum / count),
  ),
  ReduceMax: makeReduction(Number.NEGATIVE_INFINITY, (most, x) => Math.max(most, x)),
  ReduceMin: makeReduction(Number.POSITIVE_INFINITY, (least, x) => Math.min(least, x)),
  ReduceProd: makeReduction(1, (product, x) => product * x),
  ReduceL1: makeReduction(0, (sum, x) => sum + Math.abs(x)),
  ReduceL2: makeReduction(
    0,
    (sum, x) => sum + x * x,
    (sum, _, dtype) => roundLike(dtype, Math.sqrt(sum)),
  ),
  ReduceSumSquare: makeReduction(0, (sum, x) => sum + x * x),
  ReduceLogSum: makeReduction(0, (sum, x) => sum + x, Math.log),
  // log Σ exp(xᵢ), an element at a time, so that nothing overflows.
  ReduceLogSumExp: makeReduction(Number.NEGATIVE_INFINITY, (sum, x) => {
    const most = Math.max(sum, x);
    return Number.isFinite(most) ? most + Math.log(Math.exp(sum - most) + Math.exp(x - most)) : most;
  }),
  ArgMax: makeArgReduction((x, best) => x > best),
  ArgMin: makeArgReduction((x, best) => x < best),
  // The sum of the elements up to each one along an axis: without itself if `exclusive`, from the end if `reverse`.
  CumSum: ({ exclusive, reverse }, inputs, types) => {
    const X = expectEntry(inputs, 0);
    const sums = Float64Array.from(readNumbers(X));
    const { kept, reduced } = splitPositions(X, [
      normalizeAxis(readIntegers(expectEntry(inputs, 1))[0] ?? 0, X.dims.length),
    ]);
    const order = reverse ? reduced.toReversed() : reduced;
    for (const start of kept) {
      let sum = 0;
      for (const offset of order) {
        const before = sum;
        sum += sums[start + offset] as number;
        sums[start + offset] = exclusive ? before : sum;
      }
    }
    return [fromNumbers(expectEntry(types, 0), sums)];
  },
};
