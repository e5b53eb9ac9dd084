import { type Op, ops } from '../../src/ops/table.js';
import { type Tensor, tensor } from '../../src/tensor/tensor.js';
import { activation, exact as exactActivation } from './cases/activation.js';
import { convolution, exact as exactConvolution } from './cases/convolution.js';
import { elementwise, exact as exactElementwise } from './cases/elementwise.js';
import { exact as exactIndexing, indexing } from './cases/indexing.js';
import { linear } from './cases/linear.js';
import { exact as exactNormalization, normalization } from './cases/normalization.js';
import { exact as exactQuantization, quantization } from './cases/quantization.js';
import { exact as exactReduction, reduction } from './cases/reduction.js';
import { exact as exactResample, resample } from './cases/resample.js';
import { exact as exactShape, shape } from './cases/shape.js';
import type { Case, Cases } from './cases/support.js';

/** At least one case for every operator: a missing one does not compile. */
export const cases: Cases<Op> = {
  ...elementwise,
  ...activation,
  ...quantization,
  ...linear,
  ...convolution,
  ...normalization,
  ...reduction,
  ...shape,
  ...indexing,
  ...resample,
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
export const exactOps: ReadonlySet<Op> = new Set([
  ...exactConvolution,
  ...exactElementwise,
  ...exactActivation,
  ...exactQuantization,
  ...exactNormalization,
  ...exactReduction,
  ...exactShape,
  ...exactIndexing,
  ...exactResample,
]);

/** Every operator, in the table's order. */
export const allOps = Object.keys(ops) as readonly Op[];
