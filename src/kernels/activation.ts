import type { activation as specs } from '../ops/activation.js';
import type { Op } from '../ops/table.js';
import { countElements, normalizeAxis } from '../tensor/dims.js';
import { softplus } from '../tensor/softplus.js';
import type { Tensor } from '../tensor/tensor.js';
import { makeFoldingKernel, makeUnaryKernel } from './elementwise.js';
import { expectEntry, fromNumbers, type Kernels, readNumbers, type TensorType } from './kernel.js';

/** Applies `f` to each line of elements along an axis, in place on a copy. */
function mapLines(
  attributes: { readonly axis: number },
  inputs: readonly (Tensor | undefined)[],
  types: readonly TensorType[],
  f: (line: Float64Array) => void,
): Tensor[] {
  const type = expectEntry(types, 0);
  const values = Float64Array.from(readNumbers(expectEntry(inputs, 0)));
  const axis = normalizeAxis(attributes.axis, type.dims.length);
  const length = type.dims[axis] ?? 1;
  const inner = countElements(type.dims.slice(axis + 1));
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
function computeLogSumExp(line: Float64Array): number {
  const most = line.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  return most + Math.log(line.reduce((sum, x) => sum + Math.exp(x - most), 0));
}

const hardSigmoid = (x: number, alpha: number, beta: number): number => Math.max(0, Math.min(1, alpha * x + beta));

export const activation: Kernels<keyof typeof specs & Op> = {
  Relu: makeUnaryKernel((x) => Math.max(x, 0)),
  LeakyRelu: ({ alpha }, inputs, types) => makeUnaryKernel((x) => (x < 0 ? alpha * x : x))(undefined, inputs, types),
  PRelu: makeFoldingKernel((x, slope) => (x < 0 ? slope * x : x)),
  ThresholdedRelu: ({ alpha }, inputs, types) => makeUnaryKernel((x) => (x > alpha ? x : 0))(undefined, inputs, types),
  Elu: ({ alpha }, inputs, types) =>
    makeUnaryKernel((x) => (x > 0 ? x : alpha * Math.expm1(x)))(undefined, inputs, types),
  Selu: ({ alpha, gamma }, inputs, types) =>
    makeUnaryKernel((x) => gamma * (x > 0 ? x : alpha * Math.expm1(x)))(undefined, inputs, types),
  Celu: ({ alpha }, inputs, types) =>
    makeUnaryKernel((x) => (x > 0 ? x : alpha * Math.expm1(x / alpha)))(undefined, inputs, types),
  Sigmoid: makeUnaryKernel((x) => 1 / (1 + Math.exp(-x))),
  HardSigmoid: ({ alpha, beta }, inputs, types) =>
    makeUnaryKernel((x) => hardSigmoid(x, alpha, beta))(undefined, inputs, types),
  // In terms of HardSigmoid, whose alpha is a float32.
  HardSwish: makeUnaryKernel((x) => x * hardSigmoid(x, Math.fround(1 / 6), 0.5)),
  Shrink: ({ bias, lambd }, inputs, types) =>
    makeUnaryKernel((x) => (x < -lambd ? x + bias : x > lambd ? x - bias : 0))(undefined, inputs, types),
  Mish: makeUnaryKernel((x) => x * Math.tanh(softplus(x))),
  Tanh: makeUnaryKernel(Math.tanh),
  Softplus: makeUnaryKernel(softplus),
  Softsign: makeUnaryKernel((x) => x / (1 + Math.abs(x))),
  Softmax: (attributes, inputs, types) =>
    mapLines(attributes, inputs, types, (line) => {
      const total = computeLogSumExp(line);
      for (let k = 0; k < line.length; k++) line[k] = Math.exp((line[k] as number) - total);
    }),
  LogSoftmax: (attributes, inputs, types) =>
    mapLines(attributes, inputs, types, (line) => {
      const total = computeLogSumExp(line);
      for (let k = 0; k < line.length; k++) line[k] = (line[k] as number) - total;
    }),
  // 1 for the first largest element of each line, 0 for the others.
  Hardmax: (attributes, inputs, types) =>
    mapLines(attributes, inputs, types, (line) => {
      const best = line.indexOf(line.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY));
      line.fill(0);
      line[best] = 1;
    }),
};
