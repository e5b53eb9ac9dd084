/**
 * Tensors, element types, and random numbers as PyTorch and NumPy draw them.
 *
 * @packageDocumentation
 */

export type { DType, DTypeArrays } from './dtype.js';
export { MersenneTwister, type RandomStream, randomSplit, seeded } from './random.js';
export { float32, int64, type Tensor, type TensorOf, tensor, zeros } from './tensor.js';
