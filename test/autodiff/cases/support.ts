import type { AttributeValues, Op } from '../../../src/ops/table.js';
import { countElements } from '../../../src/tensor/dims.js';
import { seeded } from '../../../src/tensor/random.js';
import { float32, int64, type Tensor, tensor } from '../../../src/tensor/tensor.js';

/** An input of a case: fed when it runs, or (`constant`) an initializer. Gradients are those of the fed floats. */
export interface CaseInput {
  readonly data: Tensor;
  readonly constant: boolean;
}

/** One node whose gradients are checked. */
export interface GradientCase<K extends Op = Op> {
  /** What is special about it. */
  readonly name: string;
  readonly inputs: readonly (CaseInput | undefined)[];
  readonly attributes?: AttributeValues<K>;
  /** Outputs of the node. Default: 1. */
  readonly outputs?: number;
  /** ONNX Runtime refuses it or computes something else: why. The reference engine checks it alone. */
  readonly notOnRuntime?: string;
}

const random = seeded(20260102);

/** Random float32 numbers, fed. Default: between -2 and 2. */
export const fed = (dims: readonly number[], from = -2, to = 2): CaseInput => ({
  data: float32(
    Array.from({ length: countElements(dims) }, () => random.uniform(from, to)),
    dims,
  ),
  constant: false,
});
export const numbers = (...values: number[]): CaseInput => ({ data: float32(values), constant: false });
export const constant = (data: Tensor): CaseInput => ({ data, constant: true });
export const frozen = (dims: readonly number[]): CaseInput => constant(fed(dims).data);
export const ints = (...values: number[]): CaseInput => constant(int64(values));
export const scalar = (value: number): CaseInput => constant(float32([value], []));
export const indices = (dims: readonly number[], values: readonly number[]): CaseInput => ({
  data: int64(values, dims),
  constant: false,
});
export const bools = (dims: readonly number[]): CaseInput => ({
  data: tensor(
    'bool',
    dims,
    Uint8Array.from({ length: countElements(dims) }, () => random.integer(2)),
  ),
  constant: false,
});

export const unary = [{ name: 'random values', inputs: [fed([2, 3])] }];
export const positive = [{ name: 'positive values', inputs: [fed([2, 3], 0.3, 3)] }];
export const binary = [
  { name: 'equal dimensions', inputs: [fed([2, 3]), fed([2, 3])] },
  { name: 'both sides broadcast', inputs: [fed([2, 1, 3]), fed([4, 1])] },
  { name: 'a scalar', inputs: [fed([]), fed([2, 2])] },
];
export const extremum = [
  { name: 'two inputs', inputs: [fed([2, 3]), fed([2, 3])] },
  { name: 'three inputs that broadcast', inputs: [fed([2, 3]), fed([3]), fed([2, 1])] },
  { name: 'one input', inputs: [fed([2, 3])] },
];
export const softmax = [
  { name: 'last axis', inputs: [fed([3, 4])] },
  { name: 'middle axis', inputs: [fed([2, 3, 2])], attributes: { axis: 1 } },
];
export const reduce = [
  { name: 'one axis, kept', inputs: [fed([2, 3, 4]), ints(1)] },
  { name: 'two axes, dropped', inputs: [fed([2, 3, 4]), ints(-1, 0)], attributes: { keepdims: 0 } },
  { name: 'all axes', inputs: [fed([2, 3])], attributes: { keepdims: 0 } },
  { name: 'no axes at all', inputs: [fed([2, 3]), ints()], attributes: { noop_with_empty_axes: 1 } },
];
export const batchNorm = (dims: readonly number[]) => {
  const channels = [dims[1] ?? 1];
  return [fed(dims), fed(channels, 0.5, 2), fed(channels), fed(channels), fed(channels, 0.3, 2)];
};
export const trainedBatchNorm = (dims: readonly number[]) => {
  const [x, scale, bias, mean, variance] = batchNorm(dims);
  return [x, scale, bias, mean && constant(mean.data), variance && constant(variance.data)];
};
export const globalPool = [
  { name: '2-D', inputs: [fed([2, 3, 3, 2])] },
  { name: '1-D', inputs: [fed([2, 3, 5])] },
];
/** x, w and a bias. */
export const conv = (x: readonly number[], w: readonly number[]) => [fed(x), fed(w), fed([w[0] ?? 1])];

/** Cases for operators of these names; one without a rule has none. */
export type Cases<K extends Op> = { readonly [Name in K]?: readonly GradientCase<Name>[] };
