import { type AttributeValues, type Op, ops } from '../../src/ops/table.js';
import { sizeOf } from '../../src/tensor/dims.js';
import { seeded } from '../../src/tensor/random.js';
import { int64, type Tensor, tensor } from '../../src/tensor/tensor.js';

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
const fed = (dims: readonly number[], from = -2, to = 2): CaseInput => ({
  data: tensor(
    'float32',
    dims,
    Float32Array.from({ length: sizeOf(dims) }, () => random.uniform(from, to)),
  ),
  constant: false,
});

/** Random integers, with many equal ones. */
const integers = (dims: readonly number[], from = -3, to = 4, dtype: 'int64' | 'float32' = 'int64'): CaseInput => {
  const values = Array.from({ length: sizeOf(dims) }, () => from + random.integer(to - from));
  return {
    data: dtype === 'int64' ? int64(values, dims) : tensor('float32', dims, Float32Array.from(values)),
    constant: false,
  };
};

const bools = (dims: readonly number[]): CaseInput => ({
  data: tensor(
    'bool',
    dims,
    Uint8Array.from({ length: sizeOf(dims) }, () => random.integer(2)),
  ),
  constant: false,
});

const of = (values: readonly number[], dims: readonly number[] = [values.length]): CaseInput => ({
  data: tensor('float32', dims, Float32Array.from(values)),
  constant: false,
});

const constant = (data: Tensor): CaseInput => ({ data, constant: true });
/** Constant integers: shapes, axes, pads. */
const ints = (...values: number[]): CaseInput => constant(int64(values));
const scalar = (value: number): CaseInput => constant(tensor('float32', [], Float32Array.of(value)));

const special = of([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, -0, 1, -1, 1e30, 1e-30]);
const unary = (...inputs: CaseInput[]): Case[] =>
  [fed([3, 5]), fed([]), special, ...inputs].map((input) => ({ inputs: [input] }));
const pairs = (): Case[] => [
  { inputs: [fed([2, 3, 4]), fed([2, 3, 4])] },
  { inputs: [fed([2, 1, 4]), fed([3, 1])] },
  { inputs: [fed([]), fed([2, 3])] },
  { inputs: [fed([3]), fed([])] },
  { inputs: [integers([4, 3]), integers([3], 1, 4)] },
];
const comparisons = (): Case[] => [
  { inputs: [integers([4, 5], -2, 3, 'float32'), integers([5], -2, 3, 'float32')] },
  { inputs: [integers([4, 1]), integers([1, 5])] },
  { inputs: [special, of([0])] },
];
const logical = (): Case[] => [{ inputs: [bools([3, 4]), bools([4])] }, { inputs: [bools([2, 1]), bools([1, 3])] }];
const softmax = (): Case<'Softmax'>[] => [
  { inputs: [fed([3, 5])] },
  { inputs: [fed([2, 3, 4], -50, 50)], attributes: { axis: 1 } },
  { inputs: [fed([2, 3, 4])], attributes: { axis: 0 } },
  { inputs: [fed([2, 3, 4])], attributes: { axis: -2 } },
  { inputs: [of([1000, 1001, -1000, 0], [2, 2])] },
];
const reductions = (): Case<'ReduceSum'>[] => [
  { inputs: [fed([2, 3, 4])] },
  { inputs: [fed([2, 3, 4]), ints(1)] },
  { inputs: [fed([2, 3, 4]), ints(-1, 0)], attributes: { keepdims: 0 } },
  { inputs: [fed([2, 3, 4])], attributes: { keepdims: 0 } },
  { inputs: [fed([2, 3]), ints()], attributes: { noop_with_empty_axes: 1 } },
  { inputs: [fed([2, 3]), ints()] },
  { inputs: [integers([3, 4]), ints(0)] },
  { inputs: [fed([5])] },
];
const windows: AttributeValues<'MaxPool'>[] = [
  { kernel_shape: [2, 2], strides: [2, 2] },
  { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] },
  { kernel_shape: [3, 2], strides: [1, 2], pads: [1, 0, 0, 1] },
  { kernel_shape: [3, 3], strides: [2, 2], ceil_mode: 1 },
  { kernel_shape: [2, 2], strides: [3, 3], ceil_mode: 1, pads: [0, 0, 1, 1] },
  { kernel_shape: [3, 3], strides: [2, 3], auto_pad: 'SAME_UPPER' },
  { kernel_shape: [2, 2], strides: [2, 2], auto_pad: 'SAME_LOWER' },
  { kernel_shape: [2, 3], auto_pad: 'VALID' },
];
const pools = (extra: AttributeValues<'MaxPool'> = {}, outputs = 1): Case<'MaxPool'>[] =>
  windows.flatMap((attributes) =>
    [fed([2, 3, 7, 6]), integers([1, 2, 6, 7], 0, 3, 'float32')].map((input) => ({
      inputs: [input],
      attributes: { ...attributes, ...extra },
      outputs,
    })),
  );

/** At least one case for every operator: a missing one does not compile. */
export const cases: { readonly [K in Op]: readonly Case<K>[] } = {
  Add: pairs(),
  Sub: pairs(),
  Mul: pairs(),
  Div: [...pairs(), { inputs: [of([1, -1, 0]), of([0, 0, 0])] }],
  Pow: [
    { inputs: [fed([3, 4], 0.1, 3), fed([4])] },
    { inputs: [fed([3, 4]), scalar(2)] },
    { inputs: [fed([3, 4]), scalar(3)] },
    { inputs: [fed([3, 4], 0.1, 3), constant(int64([2], []))] },
    { inputs: [integers([5]), constant(int64([2], []))] },
  ],
  Min: [
    { inputs: [fed([2, 3]), fed([3]), fed([2, 1])] },
    { inputs: [fed([4])] },
    { inputs: [integers([4]), integers([])] },
  ],
  Max: [
    { inputs: [fed([2, 3]), fed([3]), fed([2, 1])] },
    { inputs: [fed([4])] },
    { inputs: [integers([4]), integers([])] },
  ],
  Neg: unary(integers([4])),
  Abs: unary(integers([4])),
  Sign: unary(integers([4])),
  Reciprocal: unary(),
  Exp: unary(fed([20], -90, 90)),
  Log: unary(fed([20], 1e-6, 1e6)),
  Sqrt: unary(fed([20], 0, 1e6)),
  Erf: unary(fed([40], -5, 5)),
  Relu: unary(),
  Sigmoid: unary(fed([40], -20, 20)),
  Tanh: unary(fed([40], -10, 10)),
  Identity: unary(integers([2, 2]), bools([3])),
  Not: [{ inputs: [bools([3, 4])] }],
  LeakyRelu: [{ inputs: [fed([4, 5])] }, { inputs: [fed([4, 5])], attributes: { alpha: 0.3 } }],
  Clip: [
    { inputs: [fed([4, 5]), scalar(-0.5), scalar(1)] },
    { inputs: [fed([4, 5]), scalar(0)] },
    { inputs: [fed([4, 5]), undefined, scalar(0.5)] },
    { inputs: [fed([4, 5])] },
    { inputs: [fed([5]), scalar(1), scalar(-1)] },
    { inputs: [integers([9]), constant(int64([-1], [])), constant(int64([2], []))] },
  ],
  Softmax: softmax(),
  LogSoftmax: softmax(),
  Equal: [...comparisons(), { inputs: [bools([6]), bools([6])] }],
  Greater: comparisons(),
  GreaterOrEqual: comparisons(),
  Less: comparisons(),
  LessOrEqual: comparisons(),
  And: logical(),
  Or: logical(),
  Where: [
    { inputs: [bools([2, 3]), fed([2, 3]), fed([2, 3])] },
    { inputs: [bools([3]), fed([2, 1]), fed([])] },
    { inputs: [bools([2, 1]), integers([3]), integers([2, 3])] },
  ],
  Cast: [
    { inputs: [fed([3, 4], -100, 100)], attributes: { to: 7 } },
    { inputs: [fed([3, 4])], attributes: { to: 11 } },
    { inputs: [integers([5])], attributes: { to: 1 } },
    { inputs: [integers([5], -1, 2)], attributes: { to: 9 } },
    { inputs: [special], attributes: { to: 9 } },
    { inputs: [bools([5])], attributes: { to: 1 } },
    { inputs: [fed([5], 0, 200)], attributes: { to: 2 } },
    { inputs: [integers([5])], attributes: { to: 6 } },
  ],
  Gemm: [
    { inputs: [fed([3, 4]), fed([4, 5])] },
    { inputs: [fed([3, 4]), fed([5, 4]), fed([5])], attributes: { transB: 1 } },
    { inputs: [fed([4, 3]), fed([4, 5]), fed([3, 1])], attributes: { transA: 1, alpha: 0.5, beta: -2 } },
    { inputs: [fed([4, 3]), fed([5, 4]), fed([])], attributes: { transA: 1, transB: 1 } },
    { inputs: [fed([3, 4]), fed([4, 5]), fed([3, 5])], attributes: { beta: 0 } },
  ],
  MatMul: [
    { inputs: [fed([3, 4]), fed([4, 5])] },
    { inputs: [fed([2, 3, 4]), fed([2, 4, 5])] },
    { inputs: [fed([2, 1, 3, 4]), fed([3, 4, 2])] },
    { inputs: [fed([4]), fed([4, 5])] },
    { inputs: [fed([3, 4]), fed([4])] },
    { inputs: [fed([4]), fed([4])] },
    { inputs: [fed([4]), fed([2, 4, 3])] },
    { inputs: [fed([2, 3, 4]), fed([4])] },
  ],
  Conv: [
    { inputs: [fed([2, 3, 6, 7]), fed([4, 3, 3, 3])] },
    { inputs: [fed([2, 3, 6, 7]), fed([4, 3, 3, 3]), fed([4])], attributes: { pads: [1, 1, 1, 1] } },
    {
      inputs: [fed([1, 4, 9, 8]), fed([6, 2, 3, 2]), fed([6])],
      attributes: { group: 2, strides: [2, 3], pads: [0, 1, 2, 0] },
    },
    { inputs: [fed([1, 4, 9, 8]), fed([4, 1, 3, 3])], attributes: { group: 4, dilations: [2, 1], pads: [2, 1, 2, 1] } },
    { inputs: [fed([1, 2, 7, 6]), fed([3, 2, 3, 2])], attributes: { auto_pad: 'SAME_UPPER', strides: [2, 2] } },
    {
      inputs: [fed([1, 2, 7, 6]), fed([3, 2, 3, 2])],
      attributes: { auto_pad: 'SAME_LOWER', strides: [2, 1], kernel_shape: [3, 2] },
    },
    { inputs: [fed([1, 2, 7, 6]), fed([3, 2, 3, 2])], attributes: { auto_pad: 'VALID' } },
    { inputs: [fed([2, 3, 10]), fed([4, 3, 4])], attributes: { strides: [2], pads: [1, 2] } },
    { inputs: [fed([1, 2, 4, 5, 4]), fed([3, 2, 2, 3, 2]), fed([3])], attributes: { pads: [1, 0, 0, 0, 1, 1] } },
    { inputs: [fed([2, 3, 5, 5]), fed([4, 3, 1, 1])], attributes: { strides: [2, 2] } },
  ],
  ConvTranspose: [
    { inputs: [fed([2, 3, 4, 5]), fed([3, 4, 3, 3])] },
    { inputs: [fed([2, 3, 4, 5]), fed([3, 4, 3, 3]), fed([4])], attributes: { strides: [2, 2], pads: [1, 1, 1, 1] } },
    {
      inputs: [fed([1, 4, 4, 5]), fed([4, 3, 3, 2]), fed([6])],
      attributes: { group: 2, strides: [2, 3], output_padding: [1, 2] },
    },
    { inputs: [fed([1, 2, 4, 4]), fed([2, 3, 3, 3])], attributes: { dilations: [2, 1], pads: [0, 1, 2, 0] } },
    { inputs: [fed([1, 2, 4, 4]), fed([2, 3, 3, 3])], attributes: { strides: [2, 2], output_shape: [8, 8] } },
    { inputs: [fed([1, 2, 4, 4]), fed([2, 3, 3, 3])], attributes: { strides: [2, 2], auto_pad: 'SAME_UPPER' } },
    { inputs: [fed([1, 2, 4, 4]), fed([2, 3, 3, 3])], attributes: { strides: [2, 2], auto_pad: 'SAME_LOWER' } },
    { inputs: [fed([2, 3, 6]), fed([3, 2, 4])], attributes: { strides: [3] } },
  ],
  MaxPool: [
    ...pools({}, 2),
    ...pools({ storage_order: 1 }, 2).slice(0, 4),
    { inputs: [fed([1, 2, 9, 9])], attributes: { kernel_shape: [3, 2], dilations: [2, 3] }, outputs: 2 },
    { inputs: [fed([2, 2, 9])], attributes: { kernel_shape: [3], strides: [2] }, outputs: 2 },
    { inputs: [fed([1, 2, 4, 5, 4])], attributes: { kernel_shape: [2, 2, 2] }, outputs: 2 },
  ],
  AveragePool: [
    ...pools(),
    ...windows.map((attributes) => ({
      inputs: [fed([1, 2, 7, 6])],
      attributes: { ...attributes, count_include_pad: 1 },
    })),
    { inputs: [fed([2, 2, 9])], attributes: { kernel_shape: [3], strides: [2] } },
  ],
  GlobalAveragePool: [{ inputs: [fed([2, 3, 4, 5])] }, { inputs: [fed([2, 3, 4])] }],
  GlobalMaxPool: [{ inputs: [fed([2, 3, 4, 5])] }, { inputs: [fed([2, 3, 4])] }],
  MaxUnpool: [
    {
      inputs: [fed([1, 1, 2, 2]), { data: int64([0, 3, 8, 15], [1, 1, 2, 2]), constant: false }],
      attributes: { kernel_shape: [2, 2], strides: [2, 2] },
    },
    {
      inputs: [fed([1, 2, 1, 2]), { data: int64([1, 3, 10, 13], [1, 2, 1, 2]), constant: false }, ints(1, 2, 2, 4)],
      attributes: { kernel_shape: [2, 2], strides: [2, 2] },
    },
  ],
  BatchNormalization: [
    { inputs: [fed([2, 3, 4, 5]), fed([3]), fed([3]), fed([3]), fed([3], 0.1, 2)] },
    { inputs: [fed([4, 3]), fed([3]), fed([3]), fed([3]), fed([3], 0.1, 2)], attributes: { epsilon: 0.1 } },
    {
      inputs: [fed([4, 3, 5]), fed([3]), fed([3]), fed([3]), fed([3], 0.1, 2)],
      attributes: { training_mode: 1, momentum: 0.75 },
      outputs: 3,
    },
  ],
  Dropout: [
    { inputs: [fed([3, 4])], outputs: 2 },
    { inputs: [fed([3, 4]), scalar(0.7)], outputs: 2 },
    { inputs: [fed([3, 4]), scalar(0), constant(tensor('bool', [], Uint8Array.of(1)))], outputs: 2 },
  ],
  ReduceSum: reductions(),
  ReduceMean: reductions(),
  ReduceMax: reductions(),
  ReduceMin: reductions(),
  ArgMax: [
    { inputs: [fed([3, 4])] },
    { inputs: [integers([3, 4, 5], 0, 3, 'float32')], attributes: { axis: -1, keepdims: 0 } },
    { inputs: [integers([3, 4, 5], 0, 3, 'float32')], attributes: { axis: 1, select_last_index: 1 } },
  ],
  Flatten: [
    { inputs: [fed([2, 3, 4])] },
    { inputs: [fed([2, 3, 4])], attributes: { axis: 0 } },
    { inputs: [fed([2, 3, 4])], attributes: { axis: -1 } },
    { inputs: [fed([2, 3, 4])], attributes: { axis: 3 } },
  ],
  Reshape: [
    { inputs: [fed([2, 3, 4]), ints(6, 4)] },
    { inputs: [fed([2, 3, 4]), ints(0, -1)] },
    { inputs: [fed([2, 3, 4]), ints(-1)] },
    { inputs: [fed([1, 1]), ints()] },
    { inputs: [fed([0, 3]), ints(3, 0)], attributes: { allowzero: 1 } },
  ],
  Transpose: [
    { inputs: [fed([2, 3, 4])] },
    { inputs: [fed([2, 3, 4])], attributes: { perm: [1, 0, 2] } },
    { inputs: [integers([2, 1, 3, 2])], attributes: { perm: [3, 0, 1, 2] } },
  ],
  Concat: [
    { inputs: [fed([2, 3]), fed([1, 3])], attributes: { axis: 0 } },
    { inputs: [fed([2, 3, 2]), fed([2, 1, 2]), fed([2, 2, 2])], attributes: { axis: 1 } },
    { inputs: [integers([2, 3]), integers([2, 2])], attributes: { axis: -1 } },
  ],
  Slice: [
    { inputs: [fed([4, 5]), ints(1, 0), ints(3, 4)] },
    { inputs: [fed([4, 5]), ints(-3), ints(1000), ints(1)] },
    { inputs: [fed([4, 5]), ints(-1), ints(-1000), ints(0), ints(-1)] },
    { inputs: [fed([4, 7]), ints(6, 0), ints(0, 4), ints(-1, 0), ints(-2, 3)] },
    { inputs: [fed([4, 5]), ints(3), ints(1), ints(0)] },
    { inputs: [integers([6]), constant(int64([1])), constant(tensor('int64', [1], BigInt64Array.of(2n ** 63n - 1n)))] },
  ],
  Gather: [
    { inputs: [fed([4, 3]), constant(int64([2, 0, -1, 2]))] },
    { inputs: [fed([4, 3, 2]), constant(int64([2, 0, 1, 1], [2, 2]))], attributes: { axis: 1 } },
    { inputs: [integers([4]), constant(int64([1], []))] },
  ],
  GatherElements: [
    { inputs: [fed([3, 3]), constant(int64([0, 2, 1, -1], [2, 2]))] },
    { inputs: [fed([2, 3]), constant(int64([0, 2, 1, 0], [2, 2]))], attributes: { axis: 1 } },
  ],
  ScatterElements: [
    { inputs: [fed([3, 3]), constant(int64([1, 0, 2, 0, -1, 1], [2, 3])), fed([2, 3])] },
    {
      inputs: [fed([2, 4]), constant(int64([1, 1, 3, 1, 0, 0], [2, 3])), fed([2, 3])],
      attributes: { axis: 1, reduction: 'add' },
    },
    {
      inputs: [fed([2, 4]), constant(int64([1, 1, 0, 0], [2, 2])), fed([2, 2])],
      attributes: { axis: -1, reduction: 'mul' },
    },
    {
      inputs: [fed([2, 4]), constant(int64([1, 1, 0, 0], [2, 2])), fed([2, 2])],
      attributes: { axis: 1, reduction: 'max' },
    },
    {
      inputs: [fed([2, 4]), constant(int64([1, 1, 0, 0], [2, 2])), fed([2, 2])],
      attributes: { axis: 1, reduction: 'min' },
    },
  ],
  Squeeze: [
    { inputs: [fed([2, 1, 3, 1]), ints(1)] },
    { inputs: [fed([2, 1, 3, 1]), ints(-1, 1)] },
    { inputs: [fed([2, 1, 3, 1])] },
  ],
  Unsqueeze: [
    { inputs: [fed([2, 3]), ints(0, 3)] },
    { inputs: [fed([2, 3]), ints(-1)] },
    { inputs: [fed([]), ints(0)] },
  ],
  Expand: [
    { inputs: [fed([3, 1]), ints(2, 1, 4)] },
    { inputs: [fed([2, 3]), ints(1)] },
    { inputs: [integers([]), ints(2, 2)] },
  ],
  Pad: [
    { inputs: [fed([2, 3]), ints(0, 1, 2, 0)] },
    { inputs: [fed([2, 3]), ints(1, 1, 0, 2), scalar(7)] },
    { inputs: [fed([4, 5]), ints(-1, 0, 1, -2), scalar(1)] },
    { inputs: [fed([2, 3]), ints(1, 2), undefined, ints(-1)] },
    { inputs: [fed([3, 4]), ints(2, 1, 1, 3)], attributes: { mode: 'reflect' } },
    { inputs: [fed([2, 3]), ints(2, 1, 1, 3)], attributes: { mode: 'edge' } },
    { inputs: [integers([2, 3]), ints(1, 0, 0, 1)] },
  ],
  Shape: [
    { inputs: [fed([2, 3, 4])] },
    { inputs: [fed([2, 3, 4])], attributes: { start: 1 } },
    { inputs: [fed([2, 3, 4])], attributes: { start: -2, end: -1 } },
    { inputs: [fed([2, 3, 4])], attributes: { start: 2, end: 1 } },
    { inputs: [fed([2, 3, 4])], attributes: { start: -9, end: 9 } },
  ],
  ConstantOfShape: [
    { inputs: [ints(2, 3)] },
    { inputs: [ints(4)], attributes: { value: int64([7]) } },
    { inputs: [ints()], attributes: { value: tensor('float32', [1], Float32Array.of(2.5)) } },
  ],
  OneHot: [
    {
      inputs: [
        integers([4], -2, 4),
        constant(int64([3], [])),
        constant(tensor('float32', [2], Float32Array.of(0.5, 2))),
      ],
    },
    {
      inputs: [
        integers([2, 3], 0, 4),
        constant(int64([4], [])),
        constant(tensor('float32', [2], Float32Array.of(0, 1))),
      ],
      attributes: { axis: 1 },
    },
    {
      inputs: [integers([2, 3], 0, 4), constant(int64([5], [])), constant(int64([0, 1]))],
      attributes: { axis: 0 },
    },
  ],
};

/** The same case with every float32 tensor in another float type. */
export function inDouble<K extends Op>(given: Case<K>): Case<K> {
  const convert = (source: Tensor): Tensor =>
    source.dtype === 'float32' ? tensor('float64', source.dims, Float64Array.from(source.data)) : source;
  return { ...given, inputs: given.inputs.map((input) => input && { ...input, data: convert(input.data) }) };
}

/** Whether the case has float32 tensors at all. */
export const usesSingle = (given: Case): boolean => given.inputs.some((input) => input?.data.dtype === 'float32');

/** The operators whose result is made of given elements or of integers: engines must agree to the bit. */
export const exactOps: ReadonlySet<Op> = new Set<Op>([
  ...([
    'Add',
    'Sub',
    'Mul',
    'Div',
    'Min',
    'Max',
    'Neg',
    'Abs',
    'Sign',
    'Sqrt',
    'Reciprocal',
    'Relu',
    'LeakyRelu',
  ] as const),
  ...(['Identity', 'Not', 'Clip', 'Equal', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual', 'And', 'Or'] as const),
  ...([
    'Where',
    'Cast',
    'MaxPool',
    'GlobalMaxPool',
    'MaxUnpool',
    'Dropout',
    'ReduceMax',
    'ReduceMin',
    'ArgMax',
  ] as const),
  ...(['Flatten', 'Reshape', 'Transpose', 'Concat', 'Slice', 'Gather', 'GatherElements', 'Squeeze'] as const),
  ...(['Unsqueeze', 'Expand', 'Pad', 'Shape', 'ConstantOfShape', 'OneHot'] as const),
]);

/** Every operator, in the table's order. */
export const allOps = Object.keys(ops) as readonly Op[];
