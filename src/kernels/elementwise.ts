import { findDtype } from '../graph/element-types.js';
import type { elementwise as specs } from '../ops/elementwise.js';
import type { Op } from '../ops/table.js';
import { type DType, isFloat } from '../tensor/dtype.js';
import { roundHalfToEven } from '../tensor/round.js';
import { reshape, type Tensor, zeros } from '../tensor/tensor.js';
import {
  expectEntry,
  fromNumbers,
  generate,
  type Kernels,
  listBroadcastPositions,
  move,
  readNumbers,
  type TensorType,
} from './kernel.js';

/** The same whatever the operator's attributes are. */
type PlainKernel = (
  attributes: unknown,
  inputs: readonly (Tensor | undefined)[],
  types: readonly TensorType[],
) => readonly Tensor[];

/** `f` of every element. */
export function makeUnaryKernel(f: (x: number) => number): PlainKernel {
  return (_, inputs, types) => {
    const x = readNumbers(expectEntry(inputs, 0));
    return [generate(expectEntry(types, 0), (i) => f(x[i] as number))];
  };
}

/** Folds any number of inputs that broadcast. */
export function makeFoldingKernel(f: (a: number, b: number, dtype: DType) => number): PlainKernel {
  return (_, inputs, types) => {
    const type = expectEntry(types, 0);
    const { dtype } = expectEntry(inputs, 0);
    let folded: ArrayLike<number> | undefined;
    for (const input of inputs) {
      if (!input) continue;
      const [x, where] = [readNumbers(input), listBroadcastPositions(input.dims, type.dims)];
      const before = folded;
      folded = Float64Array.from(where, (from, i) =>
        before ? f(before[i] as number, x[from] as number, dtype) : (x[from] as number),
      );
    }
    return [fromNumbers(type, folded ?? [])];
  };
}

const makeComparisonKernel = (f: (a: number, b: number) => boolean): PlainKernel =>
  makeFoldingKernel((a, b) => (f(a, b) ? 1 : 0));

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

export const elementwise: Kernels<keyof typeof specs & Op> = {
  Add: makeFoldingKernel((a, b) => a + b),
  Sub: makeFoldingKernel((a, b) => a - b),
  Mul: makeFoldingKernel((a, b) => a * b),
  // Integers are divided as in C: towards zero.
  Div: makeFoldingKernel((a, b, dtype) => (isFloat(dtype) ? a / b : Math.trunc(a / b))),
  Pow: makeFoldingKernel((a, b, dtype) => (isFloat(dtype) ? a ** b : Math.trunc(a ** b))),
  Min: makeFoldingKernel((a, b) => Math.min(a, b)),
  Max: makeFoldingKernel((a, b) => Math.max(a, b)),
  // The sign of A if `fmod`, as C's fmod; otherwise the sign of B, as Python's %.
  Mod: ({ fmod }, inputs, types) =>
    makeFoldingKernel((a, b) => (fmod || a % b === 0 || a < 0 === b < 0 ? a % b : (a % b) + b))(
      undefined,
      inputs,
      types,
    ),
  Sum: makeFoldingKernel((a, b) => a + b),
  Mean: (_, inputs, types) => {
    const [total, type] = [
      makeFoldingKernel((a, b) => a + b)(undefined, inputs, [{ ...expectEntry(types, 0), dtype: 'float64' }]),
      expectEntry(types, 0),
    ];
    return makeUnaryKernel((sum) => sum / inputs.length)(undefined, total, [type]);
  },
  Neg: makeUnaryKernel((x) => -x),
  Abs: makeUnaryKernel(Math.abs),
  Sign: makeUnaryKernel(Math.sign),
  Reciprocal: makeUnaryKernel((x) => 1 / x),
  Exp: makeUnaryKernel(Math.exp),
  Log: makeUnaryKernel(Math.log),
  Sqrt: makeUnaryKernel(Math.sqrt),
  Erf: makeUnaryKernel(erf),
  Floor: makeUnaryKernel(Math.floor),
  Ceil: makeUnaryKernel(Math.ceil),
  Round: makeUnaryKernel(roundHalfToEven),
  Sin: makeUnaryKernel(Math.sin),
  Cos: makeUnaryKernel(Math.cos),
  Tan: makeUnaryKernel(Math.tan),
  Asin: makeUnaryKernel(Math.asin),
  Acos: makeUnaryKernel(Math.acos),
  Atan: makeUnaryKernel(Math.atan),
  Sinh: makeUnaryKernel(Math.sinh),
  Cosh: makeUnaryKernel(Math.cosh),
  Asinh: makeUnaryKernel(Math.asinh),
  Acosh: makeUnaryKernel(Math.acosh),
  Atanh: makeUnaryKernel(Math.atanh),
  Identity: (_, inputs) => [expectEntry(inputs, 0)],
  Not: makeUnaryKernel((x) => (x === 0 ? 1 : 0)),
  IsNaN: makeUnaryKernel((x) => (Number.isNaN(x) ? 1 : 0)),
  IsInf: ({ detect_negative, detect_positive }, inputs, types) => {
    const isInfinite = (x: number) =>
      (x === Number.POSITIVE_INFINITY && detect_positive) || (x === Number.NEGATIVE_INFINITY && detect_negative);
    return makeUnaryKernel((x) => (isInfinite(x) ? 1 : 0))(undefined, inputs, types);
  },
  Clip: (_, inputs, types) => {
    const [low, high] = [inputs[1], inputs[2]].map((bound) => bound && readNumbers(bound)[0]);
    // The upper bound wins where the bounds contradict each other.
    const clip = (x: number) =>
      Math.min(Math.max(x, low ?? Number.NEGATIVE_INFINITY), high ?? Number.POSITIVE_INFINITY);
    return makeUnaryKernel(clip)(undefined, inputs, types);
  },
  Equal: makeComparisonKernel((a, b) => a === b),
  Greater: makeComparisonKernel((a, b) => a > b),
  GreaterOrEqual: makeComparisonKernel((a, b) => a >= b),
  Less: makeComparisonKernel((a, b) => a < b),
  LessOrEqual: makeComparisonKernel((a, b) => a <= b),
  And: makeComparisonKernel((a, b) => a !== 0 && b !== 0),
  Or: makeComparisonKernel((a, b) => a !== 0 || b !== 0),
  Xor: makeComparisonKernel((a, b) => (a !== 0) !== (b !== 0)),
  Where: (_, inputs, types) => {
    const { dtype, dims } = expectEntry(types, 0);
    const result = zeros(dtype, dims);
    const [condition, chosen] = [
      readNumbers(expectEntry(inputs, 0)),
      listBroadcastPositions(expectEntry(inputs, 0).dims, dims),
    ];
    for (const [branch, truth] of [1, 0].entries()) {
      const source = expectEntry(inputs, branch + 1);
      const from = listBroadcastPositions(source.dims, dims);
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
    const [source, type] = [expectEntry(inputs, 0), expectEntry(types, 0)];
    if (source.dtype === findDtype(to)) return [reshape(source, source.dims)];
    const x = readNumbers(source);
    const convert =
      type.dtype === 'bool' ? (v: number) => (v !== 0 ? 1 : 0) : isFloat(type.dtype) ? (v: number) => v : Math.trunc;
    return [generate(type, (i) => convert(x[i] as number))];
  },
};
