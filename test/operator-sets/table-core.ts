/** Element-wise operators, activations, products, reductions and normalisations, as each operator set has them. */
import { tensor } from '../../src/tensor/tensor.js';
import {
  bools,
  constant,
  constants,
  fed,
  float,
  int,
  integers,
  ints,
  type NodeCase,
  number,
  same,
  text,
  unary,
  weight,
} from './node-case.js';

const pair = (since: number): NodeCase => same(since, { inputs: [fed([2, 3, 4]), fed([3, 1])] });
const logical = (since: number): NodeCase => same(since, { inputs: [bools([1, 0, 1, 0], [2, 2]), bools([1, 1], [2])] });
const question = (since: number): NodeCase => same(since, { inputs: [fed([2, 3]), fed([2, 3])] });

export const elementwise: Readonly<Record<string, NodeCase>> = {
  Add: pair(7),
  Sub: pair(7),
  Mul: pair(7),
  Div: pair(7),
  Pow: same(7, { inputs: [fed([2, 3], 0.5, 2), fed([3])] }),
  Mod: same(10, { inputs: [fed([2, 3]), fed([3], 1, 2)], attributes: { fmod: int(1) } }),
  Min: pair(8),
  Max: pair(8),
  Sum: pair(8),
  Mean: pair(8),
  ...Object.fromEntries(
    ['Neg', 'Abs', 'Reciprocal', 'Exp', 'Floor', 'Ceil', 'Sin', 'Cos', 'Tan', 'Atan', 'Not', 'Identity'].map((op) => [
      op,
      op === 'Not' ? same(7, { inputs: [bools([1, 0, 1])] }) : unary(7),
    ]),
  ),
  ...Object.fromEntries(['Log', 'Sqrt'].map((op) => [op, unary(7, {}, fed([2, 3], 0.2, 3))])),
  ...Object.fromEntries(['Asin', 'Acos'].map((op) => [op, unary(7, {}, fed([2, 3], -0.9, 0.9))])),
  ...Object.fromEntries(['Sign', 'Sinh', 'Cosh', 'Asinh', 'Erf', 'IsNaN'].map((op) => [op, unary(9)])),
  Acosh: unary(9, {}, fed([2, 3], 1.1, 3)),
  Atanh: unary(9, {}, fed([2, 3], -0.9, 0.9)),
  Round: unary(11),
  IsInf: unary(10),
  Clip: {
    since: 7,
    form: (opset) =>
      opset < 11
        ? { inputs: [fed([2, 3])], attributes: { min: float(-0.5), max: float(1) } }
        : { inputs: [fed([2, 3]), number(-0.5), number(1)] },
  },
  Equal: same(7, { inputs: [integers([1, 2, 3]), integers([1, 3, 3])] }),
  Greater: question(7),
  Less: question(7),
  GreaterOrEqual: question(12),
  LessOrEqual: question(12),
  And: logical(7),
  Or: logical(7),
  Xor: logical(7),
  Where: same(9, { inputs: [bools([1, 0, 1]), fed([2, 3]), fed([3])] }),
  Cast: {
    since: 7,
    form: (opset) => ({
      inputs: [fed([2, 3])],
      attributes: {
        to: int(6),
        ...(opset >= 19 ? { saturate: int(1) } : {}),
        ...(opset >= 24 ? { round_mode: text('up') } : {}),
      },
    }),
  },
  CastLike: same(15, { inputs: [fed([2, 3]), integers([1])] }),
};

export const activation: Readonly<Record<string, NodeCase>> = {
  Relu: unary(7),
  LeakyRelu: unary(7, { alpha: float(0.2) }),
  PRelu: same(7, { inputs: [fed([2, 3, 4]), weight([3, 1])] }),
  ThresholdedRelu: unary(10, { alpha: float(0.5) }),
  Elu: unary(7, { alpha: float(0.7) }),
  Selu: unary(7),
  Celu: unary(12, { alpha: float(0.7) }),
  Sigmoid: unary(7),
  HardSigmoid: unary(7),
  HardSwish: unary(14, {}, fed([3, 5], -5, 5)),
  Shrink: unary(9, { bias: float(0.25), lambd: float(0.5) }),
  Mish: unary(18),
  Tanh: unary(7),
  Softplus: unary(7),
  Softsign: unary(7),
  Softmax: unary(7),
  'Softmax, axis': unary(7, { axis: int(1) }),
  LogSoftmax: unary(7),
  Hardmax: unary(7),
  Gelu: unary(20),
  'Gelu, tanh': unary(20, { approximate: text('tanh') }),
  Swish: { ...unary(24, { alpha: float(0.7) }), runsUntil: 24 },
};

export const linear: Readonly<Record<string, NodeCase>> = {
  Gemm: same(7, {
    inputs: [fed([2, 3]), weight([4, 3]), weight([4])],
    attributes: { transB: int(1), alpha: float(0.5) },
  }),
  MatMul: same(7, { inputs: [fed([2, 3, 4]), weight([4, 5])] }),
  Einsum: same(12, { inputs: [fed([2, 3]), fed([3, 4])], attributes: { equation: text('ij,jk->ik') } }),
  Attention: same(23, { inputs: [fed([2, 2, 3, 4]), fed([2, 2, 5, 4]), fed([2, 2, 5, 3])] }),
  RotaryEmbedding: same(23, { inputs: [fed([2, 2, 3, 4]), weight([2, 3, 2]), weight([2, 3, 2])] }),
};

/** Reductions took their axes as an attribute until some set. */
const reduction = (input: number, since = 7, x = fed([2, 3, 4])): NodeCase => ({
  since,
  form: (opset) =>
    opset < input
      ? { inputs: [x], attributes: { axes: ints(1), keepdims: int(0) } }
      : { inputs: [x, constants(1)], attributes: { keepdims: int(0) } },
});

export const reductions: Readonly<Record<string, NodeCase>> = {
  ReduceSum: reduction(13),
  ...Object.fromEntries(
    [
      'ReduceMean',
      'ReduceMax',
      'ReduceMin',
      'ReduceProd',
      'ReduceL1',
      'ReduceL2',
      'ReduceSumSquare',
      'ReduceLogSumExp',
    ].map((op) => [op, reduction(18)]),
  ),
  ReduceLogSum: reduction(18, 7, fed([2, 3, 4], 0.5, 2)),
  'ReduceMax of bools': reduction(18, 20, bools([1, 0, 0, 0, 1, 1], [2, 3, 1])),
  'ReduceMin of bools': reduction(18, 20, bools([1, 0, 0, 1, 1, 1], [2, 3, 1])),
  ArgMax: unary(7, { axis: int(1) }),
  ArgMin: unary(7, { axis: int(2), keepdims: int(0) }),
  CumSum: same(11, { inputs: [fed([2, 3]), constant(tensor('int64', [], BigInt64Array.of(1n)))] }),
  CumProd: same(26, { inputs: [fed([2, 3, 2]), constant(tensor('int64', [], BigInt64Array.of(1n)))] }),
  'CumProd, exclusive and reversed': same(26, {
    inputs: [fed([2, 3, 2]), constant(tensor('int64', [], BigInt64Array.of(-1n)))],
    attributes: { exclusive: int(1), reverse: int(1) },
  }),
};

const statistics = [weight([3]), weight([3]), weight([3]), weight([3], 0.5, 2)];
const groups = { num_groups: int(2) };

export const normalization: Readonly<Record<string, NodeCase>> = {
  BatchNormalization: same(7, { inputs: [fed([2, 3, 4]), ...statistics], attributes: { epsilon: float(1e-3) } }),
  'BatchNormalization in training mode': {
    since: 7,
    form: (opset) =>
      opset < 14
        ? { inputs: [fed([2, 3, 4]), ...statistics], outputs: 5, attributes: { momentum: float(0.8) } }
        : {
            inputs: [fed([2, 3, 4]), ...statistics],
            outputs: 3,
            attributes: { momentum: float(0.8), training_mode: int(1) },
          },
  },
  InstanceNormalization: same(7, { inputs: [fed([2, 3, 4]), weight([3]), weight([3])] }),
  LayerNormalization: same(17, { inputs: [fed([2, 3, 4]), weight([4]), weight([4])] }),
  'LayerNormalization with its statistics': same(17, {
    inputs: [fed([2, 3, 4]), weight([4]), weight([4])],
    outputs: 3,
  }),
  GroupNormalization: {
    since: 18,
    form: (opset) => ({
      inputs: [fed([2, 6, 3]), weight([opset < 21 ? 2 : 6]), weight([opset < 21 ? 2 : 6])],
      attributes: groups,
    }),
  },
  RMSNormalization: same(23, { inputs: [fed([2, 3, 4]), weight([4])] }),
  LpNormalization: unary(7, { axis: int(1), p: int(1) }),
  MeanVarianceNormalization: unary(9, {}, fed([2, 3, 2, 2])),
  LRN: unary(7, { size: int(3) }, fed([2, 4, 3, 3])),
  Dropout: {
    since: 7,
    form: (opset) =>
      opset < 12
        ? { inputs: [fed([2, 3])], attributes: { ratio: float(0.3) }, outputs: 2 }
        : { inputs: [fed([2, 3]), number(0.3)], outputs: 2 },
  },
};
