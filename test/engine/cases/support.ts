import type { AttributeValues, Op } from '../../../src/ops/table.js';
import { countElements } from '../../../src/tensor/dims.js';
import { seeded } from '../../../src/tensor/random.js';
import { int64, type Tensor, tensor } from '../../../src/tensor/tensor.js';

/** An input of a case: fed when it runs, or (`constant`) known when the graph is built. */
export interface CaseInput {
  readonly data: Tensor;
  readonly constant: boolean;
}

/** One node to compute on several engines. */
export interface Case<K extends Op = Op> {
  readonly inputs: readonly (CaseInput | undefined)[];
  readonly attributes?: AttributeValues<K>;
  /** Outputs to compare. Default: 1. */
  readonly outputs?: number;
}

const random = seeded(20260101);

/** Random numbers between two bounds, float32. Default: -2 to 2. */
export const fed = (dims: readonly number[], from = -2, to = 2): CaseInput => ({
  data: tensor(
    'float32',
    dims,
    Float32Array.from({ length: countElements(dims) }, () => random.uniform(from, to)),
  ),
  constant: false,
});

/** Random integers, with many equal ones. */
export const integers = (
  dims: readonly number[],
  from = -3,
  to = 4,
  dtype: 'int64' | 'float32' = 'int64',
): CaseInput => {
  const values = Array.from({ length: countElements(dims) }, () => from + random.integer(to - from));
  return {
    data: dtype === 'int64' ? int64(values, dims) : tensor('float32', dims, Float32Array.from(values)),
    constant: false,
  };
};

export const bools = (dims: readonly number[]): CaseInput => ({
  data: tensor(
    'bool',
    dims,
    Uint8Array.from({ length: countElements(dims) }, () => random.integer(2)),
  ),
  constant: false,
});

export const of = (values: readonly number[], dims: readonly number[] = [values.length]): CaseInput => ({
  data: tensor('float32', dims, Float32Array.from(values)),
  constant: false,
});

export const constant = (data: Tensor): CaseInput => ({ data, constant: true });
/** Constant integers: shapes, axes, pads. */
export const ints = (...values: number[]): CaseInput => constant(int64(values));
export const scalar = (value: number): CaseInput => constant(tensor('float32', [], Float32Array.of(value)));

export const special = of([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, -0, 1, -1, 1e30, 1e-30]);
export const unary = (...inputs: CaseInput[]): Case[] =>
  [fed([3, 5]), fed([]), special, ...inputs].map((input) => ({ inputs: [input] }));
export const pairs = (): Case[] => [
  { inputs: [fed([2, 3, 4]), fed([2, 3, 4])] },
  { inputs: [fed([2, 1, 4]), fed([3, 1])] },
  { inputs: [fed([]), fed([2, 3])] },
  { inputs: [fed([3]), fed([])] },
  { inputs: [integers([4, 3]), integers([3], 1, 4)] },
];
export const comparisons = (): Case[] => [
  { inputs: [integers([4, 5], -2, 3, 'float32'), integers([5], -2, 3, 'float32')] },
  { inputs: [integers([4, 1]), integers([1, 5])] },
  { inputs: [special, of([0])] },
];
export const logical = (): Case[] => [
  { inputs: [bools([3, 4]), bools([4])] },
  { inputs: [bools([2, 1]), bools([1, 3])] },
];
export const softmax = (): Case<'Softmax'>[] => [
  { inputs: [fed([3, 5])] },
  { inputs: [fed([2, 3, 4], -50, 50)], attributes: { axis: 1 } },
  { inputs: [fed([2, 3, 4])], attributes: { axis: 0 } },
  { inputs: [fed([2, 3, 4])], attributes: { axis: -2 } },
  { inputs: [of([1000, 1001, -1000, 0], [2, 2])] },
];
export const reductions = (): Case<'ReduceSum'>[] => [
  { inputs: [fed([2, 3, 4])] },
  { inputs: [fed([2, 3, 4]), ints(1)] },
  { inputs: [fed([2, 3, 4]), ints(-1, 0)], attributes: { keepdims: 0 } },
  { inputs: [fed([2, 3, 4])], attributes: { keepdims: 0 } },
  { inputs: [fed([2, 3]), ints()], attributes: { noop_with_empty_axes: 1 } },
  { inputs: [fed([2, 3]), ints()] },
  { inputs: [integers([3, 4]), ints(0)] },
  { inputs: [fed([5])] },
];
export const windows: AttributeValues<'MaxPool'>[] = [
  { kernel_shape: [2, 2], strides: [2, 2] },
  { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] },
  { kernel_shape: [3, 2], strides: [1, 2], pads: [1, 0, 0, 1] },
  { kernel_shape: [3, 3], strides: [2, 2], ceil_mode: 1 },
  { kernel_shape: [2, 2], strides: [3, 3], ceil_mode: 1, pads: [0, 0, 1, 1] },
  { kernel_shape: [3, 3], strides: [2, 3], auto_pad: 'SAME_UPPER' },
  { kernel_shape: [2, 2], strides: [2, 2], auto_pad: 'SAME_LOWER' },
  { kernel_shape: [2, 3], auto_pad: 'VALID' },
];
export const pools = (extra: AttributeValues<'MaxPool'> = {}, outputs = 1): Case<'MaxPool'>[] =>
  windows.flatMap((attributes) =>
    [fed([2, 3, 7, 6]), integers([1, 2, 6, 7], 0, 3, 'float32')].map((input) => ({
      inputs: [input],
      attributes: { ...attributes, ...extra },
      outputs,
    })),
  );

/** At least one case for every operator of these names. */
export type Cases<K extends Op> = { readonly [Name in K]: readonly Case<Name>[] };
