/* One small network with many endings: the same logits, given in every way that exporters and people write. */
import type { Dim, Graph, Value } from '../../src/graph/model.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { seeded } from '../../src/tensor/random.js';
import { float32, type Tensor } from '../../src/tensor/tensor.js';

export const SIDE = 6;
const CHANNELS = 4;

/** Seeded numbers from −1 to 1, times a scale. */
export function noise(dims: readonly number[], seed: number, scale = 1): Tensor<'float32'> {
  const stream = seeded(seed);
  const size = dims.reduce((product, dim) => product * dim, 1);
  return float32(
    Array.from({ length: size }, () => scale * stream.uniform(-1, 1)),
    dims,
  );
}

/** What a network does with its logits `[N, columns]`; the result is its only output. */
export type Ending = (b: GraphBuilder, logits: Value) => Value;

/** A convolution, its activation, a pooling and a linear layer, then an ending. */
export function network(ending: Ending, { columns = 5, scale = 3, batch = 'N' as Dim, side = SIDE } = {}): Graph {
  const b = new GraphBuilder();
  const x = b.input('input', 'float32', [batch, 3, side, side]);
  const kernel = b.initializer('conv.weight', noise([CHANNELS, 3, 3, 3], 1));
  const features = b.op('Conv', [x, kernel], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] }, { name: 'conv' });
  const active = b.op('Relu', [features], {}, { name: 'relu' });
  const pooled = b.op('Flatten', [b.op('GlobalAveragePool', [active], {}, { name: 'gap' })], { axis: 1 });
  const weight = b.initializer('fc.weight', noise([columns, CHANNELS], 2, scale));
  const bias = b.initializer('fc.bias', noise([columns], 3, scale / 3));
  const logits = b.op('Gemm', [pooled, weight, bias], { transB: 1 }, { name: 'fc' });
  b.output(ending(b, logits));
  return b.build('network');
}

const constant = (b: GraphBuilder, value: number) => b.initializer(`constant/${value}`, float32([value], [1]));
const softmax = (b: GraphBuilder, z: Value, axis = -1) => b.op('Softmax', [z], { axis });
const clip = (b: GraphBuilder, p: Value) => b.op('Clip', [p, b.scalar(1e-7), b.scalar(1 - 1e-7)]);
const sum = (b: GraphBuilder, p: Value, axis = -1) => b.op('ReduceSum', [p, b.ints([axis])], { keepdims: 1 });
const spatial = (b: GraphBuilder, z: Value) => b.op('Unsqueeze', [z, b.ints([2, 3])]);
const half = (b: GraphBuilder, z: Value) => b.op('Cast', [b.op('Cast', [z], { to: 11 })], { to: 1 });
const shifted = (b: GraphBuilder, z: Value) => {
  const most = b.op('ReduceMax', [z, b.ints([1])], { keepdims: 1 });
  return { most, rest: b.op('Sub', [z, most]) };
};

/** Endings that are a softmax, whatever they are written as. */
export const softmaxes: Readonly<Record<string, Ending>> = {
  Softmax: softmax,
  'Softmax, Clip': (b, z) => clip(b, softmax(b, z)),
  'Softmax, Max and Min with constants': (b, z) =>
    b.op('Min', [b.op('Max', [softmax(b, z), b.scalar(1e-9)]), b.scalar(1)]),
  'Softmax, Reshape': (b, z) => b.op('Reshape', [softmax(b, z), b.ints([-1, 5])]),
  'Softmax on [N, C, 1, 1], Flatten': (b, z) => b.op('Flatten', [softmax(b, spatial(b, z), 1)], { axis: 1 }),
  'Softmax on [N, C, 1, 1], Squeeze': (b, z) => b.op('Squeeze', [softmax(b, spatial(b, z), 1), b.ints([2, 3])]),
  'Softmax on [N, C, 1, 1], Gather twice': (b, z) => {
    const at = (value: Value) => b.op('Gather', [value, b.scalar(0, 'int64')], { axis: 2 });
    return at(at(softmax(b, spatial(b, z), 1)));
  },
  'Softmax on [N, C, 1, 1], mean over the pixels': (b, z) =>
    b.op('ReduceMean', [softmax(b, spatial(b, z), 1), b.ints([2, 3])], { keepdims: 0 }),
  'Softmax on [N, 1, 1, C], Reshape': (b, z) =>
    b.op('Reshape', [softmax(b, b.op('Unsqueeze', [z, b.ints([1, 2])])), b.ints([0, -1])]),
  'Softmax on [N, C, 1, 1] as it is': (b, z) => softmax(b, spatial(b, z), 1),
  'Softmax in double precision': (b, z) => b.op('Cast', [softmax(b, half(b, z))], { to: 1 }),
  'Softmax, Cast there and back': (b, z) => half(b, softmax(b, z)),
  'Softmax, Identity, Dropout': (b, z) => b.op('Dropout', [b.op('Identity', [softmax(b, z)])]),
  'Softmax, Clip, Div by the sum (Keras)': (b, z) => {
    const p = clip(b, softmax(b, z));
    return b.op('Div', [p, sum(b, p)]);
  },
  'Softmax, Div by its sum, Clip (Keras)': (b, z) => {
    const p = softmax(b, z);
    return clip(b, b.op('Div', [p, sum(b, p)]));
  },
  'Softmax, Div by the sum kept from 0': (b, z) => {
    const p = softmax(b, z);
    return b.op('Div', [p, b.op('Max', [sum(b, p), b.scalar(1e-12)])]);
  },
  'Exp / ReduceSum': (b, z) => {
    const e = b.op('Exp', [z]);
    return b.op('Div', [e, sum(b, e)]);
  },
  'Exp / ReduceSum of another Exp': (b, z) => b.op('Div', [b.op('Exp', [z]), sum(b, b.op('Exp', [z]))]),
  'Exp / ReduceSum, without the largest': (b, z) => {
    const e = b.op('Exp', [shifted(b, z).rest]);
    return b.op('Div', [e, sum(b, e)]);
  },
  'Exp times the reciprocal of its sum': (b, z) => {
    const e = b.op('Exp', [shifted(b, z).rest]);
    return b.op('Mul', [b.op('Reciprocal', [sum(b, e)]), e]);
  },
  'Softmax without the largest': (b, z) => softmax(b, shifted(b, z).rest),
  'Exp of LogSoftmax': (b, z) => b.op('Exp', [b.op('LogSoftmax', [z], { axis: 1 })]),
  'Softmax plus a tiny constant': (b, z) => b.op('Add', [softmax(b, z), b.scalar(1e-8)]),
};

/** Endings that are the logarithm of a softmax. */
export const logSoftmaxes: Readonly<Record<string, Ending>> = {
  LogSoftmax: (b, z) => b.op('LogSoftmax', [z], { axis: 1 }),
  'LogSoftmax, Reshape': (b, z) => b.op('Reshape', [b.op('LogSoftmax', [z], { axis: -1 }), b.ints([-1, 5])]),
  'LogSoftmax on [N, C, 1, 1], Flatten': (b, z) =>
    b.op('Flatten', [b.op('LogSoftmax', [spatial(b, z)], { axis: 1 })], { axis: 1 }),
  'Log of Softmax': (b, z) => b.op('Log', [softmax(b, z)]),
  'Log of Softmax, Clip': (b, z) => b.op('Log', [clip(b, softmax(b, z))]),
  'z − ReduceLogSumExp': (b, z) => b.op('Sub', [z, b.op('ReduceLogSumExp', [z, b.ints([1])], { keepdims: 1 })]),
  'z − log Σ exp': (b, z) => b.op('Sub', [z, b.op('Log', [sum(b, b.op('Exp', [z]))])]),
  'z − max − log Σ exp(z − max)': (b, z) => {
    const { rest } = shifted(b, z);
    return b.op('Sub', [rest, b.op('Log', [sum(b, b.op('Exp', [rest]))])]);
  },
  'z − (max + log Σ exp(z − max))': (b, z) => {
    const { rest, most } = shifted(b, z);
    return b.op('Sub', [z, b.op('Add', [b.op('Log', [sum(b, b.op('Exp', [rest]))]), most])]);
  },
};

/** Endings that are a sigmoid of every column. */
export const sigmoids: Readonly<Record<string, Ending>> = {
  Sigmoid: (b, z) => b.op('Sigmoid', [z]),
  'Sigmoid, Clip': (b, z) => clip(b, b.op('Sigmoid', [z])),
  'Sigmoid, Cast there and back': (b, z) => half(b, b.op('Sigmoid', [z])),
  'Sigmoid on [N, C, 1, 1], Flatten': (b, z) => b.op('Flatten', [b.op('Sigmoid', [spatial(b, z)])], { axis: 1 }),
  'Sigmoid on [N, C, 1, 1] as it is': (b, z) => b.op('Sigmoid', [spatial(b, z)]),
  '1 / (1 + exp(−z))': (b, z) =>
    b.op('Div', [constant(b, 1), b.op('Add', [b.op('Exp', [b.op('Neg', [z])]), constant(b, 1)])]),
  'Reciprocal of 1 + exp(−z)': (b, z) =>
    b.op('Reciprocal', [b.op('Add', [b.scalar(1), b.op('Exp', [b.op('Neg', [z])])])]),
};

/** Endings that are the logarithm of a sigmoid. */
export const logSigmoids: Readonly<Record<string, Ending>> = {
  'Log of Sigmoid': (b, z) => b.op('Log', [b.op('Sigmoid', [z])]),
  '−softplus(−z)': (b, z) => b.op('Neg', [b.op('Softplus', [b.op('Neg', [z])])]),
};
