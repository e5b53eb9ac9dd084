import { reducedAxes, type reduction as specs } from '../../ops/reduction.js';
import { computeStrides, normalizeAxis } from '../../tensor/dims.js';
import { type DType, isFloat } from '../../tensor/dtype.js';
import type { Tensor } from '../../tensor/tensor.js';
import { at, fromNumbers, generate, integers, type Kernel, type Kernels, numbers, walk } from './kernel.js';

/** The strided walks over what is kept and over what is reduced: element (i, k) is at `kept[i] + reduced[k]`. */
function split(
  source: Tensor,
  axes: readonly number[],
): { readonly kept: Float64Array; readonly reduced: Float64Array } {
  const strides = computeStrides(source.dims);
  const along = (inside: boolean) => {
    const chosen = [...source.dims.keys()].filter((axis) => axes.includes(axis) === inside);
    return walk(
      chosen.map((axis) => source.dims[axis] ?? 1),
      chosen.map((axis) => strides[axis] ?? 1),
    );
  };
  return { kept: along(false), reduced: along(true) };
}

/** Integers are rounded as in C: towards zero. */
const asIn = (dtype: DType, value: number): number => (isFloat(dtype) ? value : Math.trunc(value));

function reduce(
  start: number,
  combine: (sum: number, x: number) => number,
  finish: (sum: number, count: number, dtype: DType) => number = (sum) => sum,
): Kernel<'ReduceSum'> {
  return (attributes, inputs, types) => {
    const X = at(inputs, 0);
    const x = numbers(X);
    const axes =
      reducedAxes(attributes, inputs[1] && integers(inputs[1]), inputs[1] !== undefined, X.dims.length) ?? [];
    const { kept, reduced } = split(X, axes);
    return [
      generate(at(types, 0), (i) => {
        let sum = start;
        for (const offset of reduced) sum = combine(sum, x[(kept[i] as number) + offset] as number);
        return finish(sum, reduced.length, X.dtype);
      }),
    ];
  };
}

/** Where the best element is along an axis: the first one, or the last if asked to. */
function argument(isBetter: (x: number, best: number) => boolean): Kernel<'ArgMax'> {
  return ({ axis, select_last_index }, inputs, types) => {
    const X = at(inputs, 0);
    const x = numbers(X);
    const { kept, reduced } = split(X, [normalizeAxis(axis, X.dims.length)]);
    return [
      generate(at(types, 0), (i) => {
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
  ReduceSum: reduce(0, (sum, x) => sum + x),
  ReduceMean: reduce(
    0,
    (sum, x) => sum + x,
    (sum, count, dtype) => asIn(dtype, sum / count),
  ),
  ReduceMax: reduce(Number.NEGATIVE_INFINITY, (most, x) => Math.max(most, x)),
  ReduceMin: reduce(Number.POSITIVE_INFINITY, (least, x) => Math.min(least, x)),
  ReduceProd: reduce(1, (product, x) => product * x),
  ReduceL1: reduce(0, (sum, x) => sum + Math.abs(x)),
  ReduceL2: reduce(
    0,
    (sum, x) => sum + x * x,
    (sum, _, dtype) => asIn(dtype, Math.sqrt(sum)),
  ),
  ReduceSumSquare: reduce(0, (sum, x) => sum + x * x),
  ReduceLogSum: reduce(0, (sum, x) => sum + x, Math.log),
  // log Σ exp(xᵢ), an element at a time, so that nothing overflows.
  ReduceLogSumExp: reduce(Number.NEGATIVE_INFINITY, (sum, x) => {
    const most = Math.max(sum, x);
    return Number.isFinite(most) ? most + Math.log(Math.exp(sum - most) + Math.exp(x - most)) : most;
  }),
  ArgMax: argument((x, best) => x > best),
  ArgMin: argument((x, best) => x < best),
  // The sum of the elements up to each one along an axis: without itself if `exclusive`, from the end if `reverse`.
  CumSum: ({ exclusive, reverse }, inputs, types) => {
    const X = at(inputs, 0);
    const sums = Float64Array.from(numbers(X));
    const { kept, reduced } = split(X, [normalizeAxis(integers(at(inputs, 1))[0] ?? 0, X.dims.length)]);
    const order = reverse ? reduced.toReversed() : reduced;
    for (const start of kept) {
      let sum = 0;
      for (const offset of order) {
        const before = sum;
        sum += sums[start + offset] as number;
        sums[start + offset] = exclusive ? before : sum;
      }
    }
    return [fromNumbers(at(types, 0), sums)];
  },
};
