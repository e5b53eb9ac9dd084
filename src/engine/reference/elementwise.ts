import { dataTypes, type elementwise as specs } from '../../ops/elementwise.js';
import type { Op } from '../../ops/table.js';
import { normalizeAxis, sizeOf } from '../../tensor/dims.js';
import { type DType, isFloat } from '../../tensor/dtype.js';
import { reshape, type Tensor, zeros } from '../../tensor/tensor.js';
import { at, broadcastWalk, fromNumbers, generate, type Kernels, move, numbers, type TensorType } from './kernel.js';

/** The same whatever the operator's attributes are. */
type PlainKernel = (
  attributes: unknown,
  inputs: readonly (Tensor | undefined)[],
  types: readonly TensorType[],
) => readonly Tensor[];

function unary(f: (x: number) => number): PlainKernel {
  return (_, inputs, types) => {
    const x = numbers(at(inputs, 0));
    return [generate(at(types, 0), (i) => f(x[i] as number))];
  };
}

/** Folds any number of inputs that broadcast. */
function combine(f: (a: number, b: number, dtype: DType) => number): PlainKernel {
  return (_, inputs, types) => {
    const type = at(types, 0);
    const { dtype } = at(inputs, 0);
    let folded: ArrayLike<number> | undefined;
    for (const input of inputs) {
      if (!input) continue;
      const [x, where] = [numbers(input), broadcastWalk(input.dims, type.dims)];
      const before = folded;
      folded = Float64Array.from(where, (from, i) =>
        before ? f(before[i] as number, x[from] as number, dtype) : (x[from] as number),
      );
    }
    return [fromNumbers(type, folded ?? [])];
  };
}

const compare = (f: (a: number, b: number) => boolean): PlainKernel => combine((a, b) => (f(a, b) ? 1 : 0));

/**
 * The error function, 2/√π ∫₀ˣ exp(-t²) dt, to double precision.
 * Below 3 the series of positive terms (Abramowitz and Stegun 7.1.6), above it the continued fraction (7.1.14).
 */
export function erf(x: number): number {
  const t = Math.abs(x);
  if (Number.isNaN(x)) return x;
  if (t > 6) return Math.sign(x);
  if (t < 3) {
    let term = t;
    let sum = t;
    for (let n = 1; term > sum * 1e-17; n++) {
      term *= (2 * t * t) / (2 * n + 1);
      sum += term;
    }
    return Math.sign(x) * (2 / Math.sqrt(Math.PI)) * Math.exp(-t * t) * sum;
  }
  let fraction = t;
  for (let n = 60; n > 0; n--) fraction = t + n / 2 / fraction;
  return Math.sign(x) * (1 - Math.exp(-t * t) / (Math.sqrt(Math.PI) * fraction));
}

/** Applies `f` to each line of elements along an axis, in place on a copy. */
function alongAxis(
  attributes: { readonly axis: number },
  inputs: readonly (Tensor | undefined)[],
  types: readonly TensorType[],
  f: (line: Float64Array) => void,
): Tensor[] {
  const type = at(types, 0);
  const values = Float64Array.from(numbers(at(inputs, 0)));
  const axis = normalizeAxis(attributes.axis, type.dims.length);
  const length = type.dims[axis] ?? 1;
  const inner = sizeOf(type.dims.slice(axis + 1));
  const line = new Float64Array(length);
  for (let start = 0; start < values.length; start++) {
    if (Math.floor(start / inner) % length !== 0) continue;
    for (let k = 0; k < length; k++) line[k] = values[start + k * inner] as number;
    f(line);
    for (let k = 0; k < length; k++) values[start + k * inner] = line[k] as number;
  }
  return [fromNumbers(type, values)];
}

/** log Σ exp(xᵢ), shifted by the maximum so that nothing overflows. */
function logSumExp(line: Float64Array): number {
  const most = line.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  return most + Math.log(line.reduce((sum, x) => sum + Math.exp(x - most), 0));
}

export const elementwise: Kernels<keyof typeof specs & Op> = {
  Add: combine((a, b) => a + b),
  Sub: combine((a, b) => a - b),
  Mul: combine((a, b) => a * b),
  // Integers are divided as in C: towards zero.
  Div: combine((a, b, dtype) => (isFloat(dtype) ? a / b : Math.trunc(a / b))),
  Pow: combine((a, b, dtype) => (isFloat(dtype) ? a ** b : Math.trunc(a ** b))),
  Min: combine((a, b) => Math.min(a, b)),
  Max: combine((a, b) => Math.max(a, b)),
  Neg: unary((x) => -x),
  Abs: unary(Math.abs),
  Sign: unary(Math.sign),
  Reciprocal: unary((x) => 1 / x),
  Exp: unary(Math.exp),
  Log: unary(Math.log),
  Sqrt: unary(Math.sqrt),
  Erf: unary(erf),
  Relu: unary((x) => Math.max(x, 0)),
  Sigmoid: unary((x) => 1 / (1 + Math.exp(-x))),
  Tanh: unary(Math.tanh),
  Identity: (_, inputs) => [at(inputs, 0)],
  Not: unary((x) => (x === 0 ? 1 : 0)),
  LeakyRelu: ({ alpha }, inputs, types) => unary((x) => (x < 0 ? alpha * x : x))(undefined, inputs, types),
  Clip: (_, inputs, types) => {
    const [low, high] = [inputs[1], inputs[2]].map((bound) => bound && numbers(bound)[0]);
    // The upper bound wins where the bounds contradict each other.
    const clip = (x: number) =>
      Math.min(Math.max(x, low ?? Number.NEGATIVE_INFINITY), high ?? Number.POSITIVE_INFINITY);
    return unary(clip)(undefined, inputs, types);
  },
  Softmax: (attributes, inputs, types) =>
    alongAxis(attributes, inputs, types, (line) => {
      const total = logSumExp(line);
      for (let k = 0; k < line.length; k++) line[k] = Math.exp((line[k] as number) - total);
    }),
  LogSoftmax: (attributes, inputs, types) =>
    alongAxis(attributes, inputs, types, (line) => {
      const total = logSumExp(line);
      for (let k = 0; k < line.length; k++) line[k] = (line[k] as number) - total;
    }),
  Equal: compare((a, b) => a === b),
  Greater: compare((a, b) => a > b),
  GreaterOrEqual: compare((a, b) => a >= b),
  Less: compare((a, b) => a < b),
  LessOrEqual: compare((a, b) => a <= b),
  And: compare((a, b) => a !== 0 && b !== 0),
  Or: compare((a, b) => a !== 0 || b !== 0),
  Where: (_, inputs, types) => {
    const { dtype, dims } = at(types, 0);
    const result = zeros(dtype, dims);
    const [condition, chosen] = [numbers(at(inputs, 0)), broadcastWalk(at(inputs, 0).dims, dims)];
    for (const [branch, truth] of [1, 0].entries()) {
      const source = at(inputs, branch + 1);
      const from = broadcastWalk(source.dims, dims);
      const to = [...from.keys()].filter((i) => (condition[chosen[i] as number] !== 0 ? 1 : 0) === truth);
      move(
        source,
        to.map((i) => from[i] as number),
        result,
        to,
      );
    }
    return [result];
  },
  Cast: ({ to }, inputs, types) => {
    const [source, type] = [at(inputs, 0), at(types, 0)];
    if (source.dtype === dataTypes[to]) return [reshape(source, source.dims)];
    const x = numbers(source);
    const convert =
      type.dtype === 'bool' ? (v: number) => (v !== 0 ? 1 : 0) : isFloat(type.dtype) ? (v: number) => v : Math.trunc;
    return [generate(type, (i) => convert(x[i] as number))];
  },
};
