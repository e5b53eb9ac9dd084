import type { AttributeValues, Op } from '../../src/ops/table.js';
import { sizeOf } from '../../src/tensor/dims.js';
import { seeded } from '../../src/tensor/random.js';
import { float32, int64, type Tensor, tensor } from '../../src/tensor/tensor.js';

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
const fed = (dims: readonly number[], from = -2, to = 2): CaseInput => ({
  data: float32(
    Array.from({ length: sizeOf(dims) }, () => random.uniform(from, to)),
    dims,
  ),
  constant: false,
});
const numbers = (...values: number[]): CaseInput => ({ data: float32(values), constant: false });
const constant = (data: Tensor): CaseInput => ({ data, constant: true });
const frozen = (dims: readonly number[]): CaseInput => constant(fed(dims).data);
const ints = (...values: number[]): CaseInput => constant(int64(values));
const scalar = (value: number): CaseInput => constant(float32([value], []));
const indices = (dims: readonly number[], values: readonly number[]): CaseInput => ({
  data: int64(values, dims),
  constant: false,
});
const bools = (dims: readonly number[]): CaseInput => ({
  data: tensor(
    'bool',
    dims,
    Uint8Array.from({ length: sizeOf(dims) }, () => random.integer(2)),
  ),
  constant: false,
});

const unary = [{ name: 'random values', inputs: [fed([2, 3])] }];
const positive = [{ name: 'positive values', inputs: [fed([2, 3], 0.3, 3)] }];
const binary = [
  { name: 'equal dimensions', inputs: [fed([2, 3]), fed([2, 3])] },
  { name: 'both sides broadcast', inputs: [fed([2, 1, 3]), fed([4, 1])] },
  { name: 'a scalar', inputs: [fed([]), fed([2, 2])] },
];
const extremum = [
  { name: 'two inputs', inputs: [fed([2, 3]), fed([2, 3])] },
  { name: 'three inputs that broadcast', inputs: [fed([2, 3]), fed([3]), fed([2, 1])] },
  { name: 'one input', inputs: [fed([2, 3])] },
];
const softmax = [
  { name: 'last axis', inputs: [fed([3, 4])] },
  { name: 'middle axis', inputs: [fed([2, 3, 2])], attributes: { axis: 1 } },
];
const reduce = [
  { name: 'one axis, kept', inputs: [fed([2, 3, 4]), ints(1)] },
  { name: 'two axes, dropped', inputs: [fed([2, 3, 4]), ints(-1, 0)], attributes: { keepdims: 0 } },
  { name: 'all axes', inputs: [fed([2, 3])], attributes: { keepdims: 0 } },
  { name: 'no axes at all', inputs: [fed([2, 3]), ints()], attributes: { noop_with_empty_axes: 1 } },
];
const batchNorm = (dims: readonly number[]) => {
  const channels = [dims[1] ?? 1];
  return [fed(dims), fed(channels, 0.5, 2), fed(channels), fed(channels), fed(channels, 0.3, 2)];
};
const trainedBatchNorm = (dims: readonly number[]) => {
  const [x, scale, bias, mean, variance] = batchNorm(dims);
  return [x, scale, bias, mean && constant(mean.data), variance && constant(variance.data)];
};
const globalPool = [
  { name: '2-D', inputs: [fed([2, 3, 3, 2])] },
  { name: '1-D', inputs: [fed([2, 3, 5])] },
];
/** x, w and a bias. */
const conv = (x: readonly number[], w: readonly number[]) => [fed(x), fed(w), fed([w[0] ?? 1])];

/**
 * Cases for every operator that has a gradient rule; the suite fails for a rule without one. Values are random, so
 * away from kinks and ties: these are held to PyTorch instead.
 */
export const cases: { readonly [K in Op]?: readonly GradientCase<K>[] } = {
  Add: binary,
  Sub: binary,
  Mul: binary,
  Div: [
    { name: 'equal dimensions', inputs: [fed([2, 3]), fed([2, 3], 0.5, 2)] },
    { name: 'the divisor broadcasts', inputs: [fed([2, 3]), fed([3], -2, -0.5)] },
    { name: 'the dividend broadcasts', inputs: [fed([1]), fed([2, 3], 0.5, 2)] },
  ],
  Pow: [
    { name: 'base and exponent', inputs: [fed([2, 3], 0.3, 2), fed([3])] },
    { name: 'a square', inputs: [fed([4]), scalar(2)] },
    { name: 'the first power', inputs: [fed([4]), scalar(1)] },
    { name: 'a constant fraction', inputs: [fed([4], 0.2, 2), scalar(-1.5)] },
    { name: 'power 0 and base 0', inputs: [numbers(0, 1.5), constant(float32([0, 3]))] },
    { name: 'an int64 exponent', inputs: [fed([4]), ints(3)] },
  ],
  Min: extremum,
  Max: extremum,
  Neg: unary,
  Abs: unary,
  Reciprocal: positive,
  Exp: unary,
  Log: positive,
  Sqrt: positive,
  Erf: unary,
  Relu: unary,
  LeakyRelu: [
    { name: 'default slope', inputs: [fed([2, 5])] },
    { name: 'negative slope', inputs: [fed([2, 5])], attributes: { alpha: -0.3 } },
  ],
  Sigmoid: unary,
  Tanh: unary,
  Identity: unary,
  Clip: [
    { name: 'fixed bounds', inputs: [fed([3, 4]), scalar(-1), scalar(1)] },
    { name: 'bounds with gradients', inputs: [fed([3, 4]), fed([], -1, -0.5), fed([], 0.5, 1)] },
    { name: 'upper bound only', inputs: [fed([3, 4]), undefined, fed([], 0, 1)] },
    { name: 'lower bound only', inputs: [fed([3, 4]), fed([], 0, 1)] },
    { name: 'no bounds', inputs: [fed([3, 4])] },
    { name: 'lower bound above the upper one', inputs: [fed([3, 4]), fed([], 0.5, 1), fed([], -1, -0.5)] },
  ],
  Where: [
    { name: 'equal dimensions', inputs: [bools([3, 4]), fed([3, 4]), fed([3, 4])] },
    { name: 'all three broadcast', inputs: [bools([3, 1]), fed([4]), fed([2, 1, 1])] },
  ],
  Cast: [{ name: 'float32 to float64', inputs: [fed([2, 3])], attributes: { to: 11 } }],
  Softmax: softmax,
  LogSoftmax: softmax,
  Gemm: [
    { name: 'A B + C', inputs: [fed([2, 3]), fed([3, 4]), fed([4])] },
    {
      name: "alpha A' B + beta C",
      inputs: [fed([3, 2]), fed([3, 4]), fed([2, 1])],
      attributes: { transA: 1, alpha: 0.7, beta: -1.3 },
    },
    { name: "A B' + c", inputs: [fed([2, 3]), fed([4, 3]), fed([])], attributes: { transB: 1 } },
    { name: "alpha A' B'", inputs: [fed([3, 2]), fed([4, 3])], attributes: { transA: 1, transB: 1, alpha: 2 } },
    { name: 'frozen weights', inputs: [fed([2, 3]), frozen([4, 3]), frozen([4])], attributes: { transB: 1 } },
  ],
  MatMul: [
    { name: 'matrices', inputs: [fed([2, 3]), fed([3, 4])] },
    { name: 'a stack of matrices times a matrix', inputs: [fed([2, 3, 2]), fed([2, 4])] },
    { name: 'a matrix times a stack', inputs: [fed([3, 2]), fed([2, 2, 4])] },
    { name: 'stacks that broadcast', inputs: [fed([2, 1, 2, 3]), fed([4, 3, 2])] },
    { name: 'two vectors', inputs: [fed([3]), fed([3])] },
    { name: 'a vector times a matrix', inputs: [fed([3]), fed([3, 2])] },
    { name: 'a vector times a stack', inputs: [fed([3]), fed([2, 3, 2])] },
    { name: 'a matrix times a vector', inputs: [fed([2, 3]), fed([3])] },
    { name: 'a stack times a vector', inputs: [fed([2, 2, 3]), fed([3])] },
  ],
  Conv: [
    { name: '3x3 with bias', inputs: conv([2, 5, 5, 4], [3, 5, 3, 3]), attributes: { pads: [1, 1, 1, 1] } },
    { name: 'few channels', inputs: conv([2, 2, 5, 4], [3, 2, 3, 3]), attributes: { pads: [1, 1, 1, 1] } },
    { name: 'large', inputs: conv([2, 5, 32, 32], [2, 5, 3, 3]), attributes: { pads: [1, 1, 1, 1] } },
    {
      name: 'large, dilated, uneven padding',
      inputs: conv([1, 5, 36, 33], [2, 5, 3, 2]),
      attributes: { pads: [2, 0, 1, 1], dilations: [2, 1] },
    },
    { name: 'large, 1x1', inputs: conv([1, 5, 32, 32], [2, 5, 1, 1]) },
    { name: 'frozen weights', inputs: [fed([1, 5, 6, 7]), frozen([4, 5, 3, 3])], attributes: { pads: [1, 1, 1, 1] } },
    {
      name: 'frozen weights, grouped',
      inputs: [fed([1, 4, 6, 7]), frozen([6, 2, 3, 2])],
      attributes: { pads: [1, 1, 1, 1], group: 2 },
    },
    {
      name: 'more padding than the kernel is wide',
      inputs: conv([1, 5, 4, 5], [2, 5, 2, 2]),
      attributes: { pads: [2, 0, 0, 2] },
    },
    {
      name: 'strides that leave rows over',
      inputs: conv([2, 5, 6, 8], [3, 5, 3, 2]),
      attributes: { strides: [2, 3], pads: [0, 1, 1, 0] },
    },
    {
      name: 'few channels, strided and dilated',
      inputs: conv([2, 2, 9, 8], [2, 2, 2, 3]),
      attributes: { strides: [2, 1], dilations: [3, 2], pads: [0, 1, 1, 0] },
    },
    {
      name: 'strided and dilated',
      inputs: conv([1, 5, 9, 8], [2, 5, 2, 3]),
      attributes: { strides: [2, 1], dilations: [3, 2] },
    },
    {
      name: 'SAME_UPPER',
      inputs: conv([1, 5, 5, 6], [2, 5, 2, 3]),
      attributes: { auto_pad: 'SAME_UPPER', strides: [2, 2] },
    },
    {
      name: 'SAME_LOWER',
      inputs: conv([1, 5, 5, 6], [2, 5, 2, 3]),
      attributes: { auto_pad: 'SAME_LOWER', strides: [2, 2] },
    },
    { name: 'VALID', inputs: conv([1, 5, 5, 6], [2, 5, 2, 3]), attributes: { auto_pad: 'VALID' } },
    { name: 'groups', inputs: conv([2, 4, 4, 4], [6, 2, 3, 3]), attributes: { group: 2, pads: [1, 1, 1, 1] } },
    {
      name: 'groups, strided, padded and dilated',
      inputs: conv([2, 6, 7, 6], [4, 3, 2, 3]),
      attributes: { group: 2, strides: [3, 2], pads: [1, 0, 0, 1], dilations: [2, 1] },
    },
    { name: 'depthwise', inputs: conv([2, 3, 5, 5], [3, 1, 3, 3]), attributes: { group: 3, strides: [2, 2] } },
    { name: 'depthwise, two outputs a channel', inputs: conv([2, 3, 4, 4], [6, 1, 2, 2]), attributes: { group: 3 } },
    { name: '1x1', inputs: conv([2, 5, 3, 3], [4, 5, 1, 1]) },
    { name: '1x1, strided', inputs: conv([2, 5, 5, 4], [4, 5, 1, 1]), attributes: { strides: [2, 2] } },
    { name: '1-D', inputs: conv([2, 5, 7], [3, 5, 3]), attributes: { strides: [2], pads: [1, 1] } },
    { name: '1-D, few channels', inputs: conv([2, 2, 7], [3, 2, 3]), attributes: { dilations: [2] } },
    { name: 'without a bias', inputs: conv([1, 5, 4, 4], [2, 5, 3, 3]).slice(0, 2) },
    { name: 'the kernel covers the input', inputs: conv([2, 5, 3, 3], [4, 5, 3, 3]) },
  ],
  ConvTranspose: [
    {
      name: 'stride 2 with bias',
      inputs: [fed([2, 3, 3, 4]), fed([3, 2, 3, 3]), fed([2])],
      attributes: { strides: [2, 2] },
    },
    {
      name: 'padding, output padding, dilation',
      inputs: [fed([1, 2, 3, 3]), fed([2, 2, 3, 2])],
      attributes: { strides: [2, 3], pads: [1, 0, 1, 1], output_padding: [1, 2], dilations: [1, 2] },
    },
    { name: 'groups', inputs: [fed([1, 4, 3, 3]), fed([4, 3, 2, 2]), fed([6])], attributes: { group: 2 } },
    { name: '1-D', inputs: [fed([2, 2, 4]), fed([2, 3, 3])], attributes: { strides: [2] } },
  ],
  MaxPool: [
    { name: '2x2', inputs: [fed([2, 2, 4, 6])], attributes: { kernel_shape: [2, 2], strides: [2, 2] } },
    { name: '2x2, rows left over', inputs: [fed([2, 2, 5, 7])], attributes: { kernel_shape: [2, 2], strides: [2, 2] } },
    { name: 'windows apart', inputs: [fed([1, 2, 7, 8])], attributes: { kernel_shape: [2, 2], strides: [3, 3] } },
    {
      name: 'overlapping and padded',
      inputs: [fed([2, 2, 5, 6])],
      attributes: { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] },
    },
    { name: 'dilated', inputs: [fed([1, 2, 6, 6])], attributes: { kernel_shape: [2, 2], dilations: [2, 3] } },
    {
      name: 'ceil mode',
      inputs: [fed([1, 2, 6, 5])],
      attributes: { kernel_shape: [3, 3], strides: [2, 2], ceil_mode: 1 },
    },
    {
      name: 'ceil mode, windows that do not overlap',
      inputs: [fed([1, 2, 5, 5])],
      attributes: { kernel_shape: [2, 2], strides: [2, 2], ceil_mode: 1 },
    },
    {
      name: 'SAME_UPPER',
      inputs: [fed([1, 2, 5, 4])],
      attributes: { kernel_shape: [2, 2], strides: [2, 2], auto_pad: 'SAME_UPPER' },
    },
    { name: '1-D', inputs: [fed([2, 2, 9])], attributes: { kernel_shape: [3], strides: [3] } },
  ],
  MaxUnpool: [
    {
      name: '2x2',
      inputs: [fed([1, 1, 2, 2]), constant(int64([1, 6, 8, 15], [1, 1, 2, 2])), ints(1, 1, 4, 4)],
      attributes: { kernel_shape: [2, 2], strides: [2, 2] },
    },
  ],
  AveragePool: [
    { name: '2x2', inputs: [fed([2, 2, 4, 6])], attributes: { kernel_shape: [2, 2], strides: [2, 2] } },
    {
      name: 'padding not counted',
      inputs: [fed([2, 2, 5, 6])],
      attributes: { kernel_shape: [3, 2], strides: [2, 1], pads: [1, 0, 1, 1] },
    },
    {
      name: 'padding counted',
      inputs: [fed([2, 2, 5, 6])],
      attributes: { kernel_shape: [3, 2], strides: [2, 1], pads: [1, 0, 1, 1], count_include_pad: 1 },
    },
    {
      name: 'ceil mode',
      inputs: [fed([1, 2, 6, 5])],
      attributes: { kernel_shape: [3, 2], strides: [2, 2], ceil_mode: 1 },
    },
    {
      name: 'ceil mode, padding counted',
      inputs: [fed([1, 2, 6, 5])],
      attributes: { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1], ceil_mode: 1, count_include_pad: 1 },
    },
    {
      name: 'dilated',
      inputs: [fed([1, 2, 6, 6])],
      attributes: { kernel_shape: [2, 2], dilations: [2, 3] },
      notOnRuntime: 'dilations belong to operator set 19',
    },
    {
      name: 'SAME_LOWER',
      inputs: [fed([1, 2, 5, 4])],
      attributes: { kernel_shape: [2, 2], strides: [2, 2], auto_pad: 'SAME_LOWER' },
    },
    { name: '1-D', inputs: [fed([2, 2, 9])], attributes: { kernel_shape: [3], strides: [2] } },
    { name: '3-D', inputs: [fed([1, 2, 4, 3, 5])], attributes: { kernel_shape: [2, 3, 2], strides: [2, 1, 2] } },
  ],
  GlobalAveragePool: globalPool,
  GlobalMaxPool: globalPool,
  BatchNormalization: [
    { name: 'inference, with the running statistics', inputs: batchNorm([2, 3, 2, 2]), attributes: { epsilon: 1e-3 } },
    { name: 'inference, [N, C]', inputs: batchNorm([4, 3]) },
    { name: 'training', inputs: trainedBatchNorm([3, 2, 2, 3]), attributes: { training_mode: 1 }, outputs: 3 },
    { name: 'training, [N, C]', inputs: trainedBatchNorm([5, 3]), attributes: { training_mode: 1 }, outputs: 3 },
  ],
  Dropout: [
    { name: 'inference', inputs: [fed([2, 3])] },
    { name: 'inference, said so', inputs: [fed([2, 3]), scalar(0.5), constant(tensor('bool', [], Uint8Array.of(0)))] },
  ],
  ReduceSum: reduce,
  ReduceMean: reduce,
  ReduceMax: reduce,
  ReduceMin: reduce,
  Flatten: [
    { name: 'default axis', inputs: [fed([2, 3, 2])] },
    { name: 'axis 0', inputs: [fed([2, 3])], attributes: { axis: 0 } },
  ],
  Reshape: [
    { name: 'fixed', inputs: [fed([2, 6]), ints(3, 4)] },
    { name: 'copied and open axes', inputs: [fed([2, 3, 2]), ints(0, -1)] },
  ],
  Squeeze: [
    { name: 'one axis', inputs: [fed([2, 1, 3, 1]), ints(1)] },
    { name: 'every axis of 1', inputs: [fed([2, 1, 3, 1])] },
  ],
  Unsqueeze: [{ name: 'two axes', inputs: [fed([2, 3]), ints(0, -1)] }],
  Transpose: [
    { name: 'a rotation', inputs: [fed([2, 3, 4])], attributes: { perm: [1, 2, 0] } },
    { name: 'default order', inputs: [fed([2, 3, 4])] },
  ],
  Concat: [
    { name: 'last axis', inputs: [fed([2, 3]), frozen([2, 1]), fed([2, 2])], attributes: { axis: -1 } },
    { name: 'first axis', inputs: [fed([2, 3]), fed([1, 3])], attributes: { axis: 0 } },
  ],
  Slice: [
    { name: 'one axis', inputs: [fed([4, 3]), ints(1), ints(3)] },
    { name: 'two axes from the end', inputs: [fed([4, 5]), ints(-3, 0), ints(-1, 1000), ints(1, 0)] },
    { name: 'a step', inputs: [fed([3, 7]), ints(1), ints(7), ints(1), ints(3)] },
    { name: 'a step that ends at the border', inputs: [fed([3, 7]), ints(0), ints(7), ints(1), ints(2)] },
    { name: 'backwards', inputs: [fed([3, 5]), ints(-1), ints(-100), ints(1), ints(-1)] },
    {
      name: 'backwards by two, and forwards by two',
      inputs: [fed([5, 6]), ints(3, 0), ints(-100, 6), ints(0, 1), ints(-2, 2)],
    },
  ],
  Expand: [
    { name: 'an axis of 1', inputs: [fed([2, 1, 3]), ints(2, 4, 3)] },
    { name: 'new axes', inputs: [fed([3]), ints(2, 2, 1)] },
  ],
  Pad: [
    { name: 'zeros', inputs: [fed([2, 3]), ints(1, 0, 0, 2)] },
    { name: 'a value with a gradient, one axis', inputs: [fed([2, 3]), ints(2, 1), fed([]), ints(-1)] },
    { name: 'negative', inputs: [fed([3, 4]), ints(-1, 2, 2, -1), fed([])] },
  ],
  Gather: [
    { name: 'repeated rows', inputs: [fed([4, 3]), indices([2, 2], [3, 1, 1, 0])] },
    { name: 'columns, negative', inputs: [fed([2, 4, 2]), indices([3], [-1, 2, 2])], attributes: { axis: 1 } },
    { name: 'one element', inputs: [fed([2, 4]), indices([], [2])], attributes: { axis: 1 } },
  ],
  GatherElements: [
    { name: 'one a row', inputs: [fed([3, 4]), indices([3, 1], [2, 0, 3])], attributes: { axis: 1 } },
    { name: 'repeated', inputs: [fed([3, 2]), indices([2, 2], [1, 1, 1, -1])] },
  ],
  ScatterElements: [
    { name: 'replacing', inputs: [fed([3, 4]), indices([3, 1], [2, 0, 3]), fed([3, 1])], attributes: { axis: 1 } },
    {
      name: 'adding, repeated',
      inputs: [fed([3, 2]), indices([2, 2], [1, 1, 1, 0]), fed([2, 2])],
      attributes: { reduction: 'add' },
    },
  ],
};
