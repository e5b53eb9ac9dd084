import { ShiboriError } from '../errors.js';
import { countElements } from './dims.js';
import { allocate, type DType, type DTypeArrays, getBytesPerElement } from './dtype.js';

/** Holds the elements of a tensor of one type, in row-major order. */
export interface TensorOf<T extends DType> {
  readonly dtype: T;
  /** Dimensions, row-major; `[]` is a scalar. */
  readonly dims: readonly number[];
  /** `product(dims)` elements. */
  readonly data: DTypeArrays[T];
}

/**
 * A dense row-major array. `Tensor` alone is the union over all element types: testing `dtype` narrows `data`.
 */
export type Tensor<T extends DType = DType> = { [K in T]: TensorOf<K> }[T];

/**
 * A tensor over existing elements, without a copy.
 *
 * @throws ShiboriError when `data` does not hold exactly `product(dims)` elements.
 */
export function tensor<T extends DType>(dtype: T, dims: readonly number[], data: DTypeArrays[T]): Tensor<T> {
  if (data.length !== countElements(dims)) {
    throw new ShiboriError(
      `A ${dtype} tensor [${dims.join(', ')}] needs ${countElements(dims)} elements, found ${data.length}.`,
      { code: 'invalid-graph' },
    );
  }
  // One cast-free construction serves all element types because Tensor<T> is exactly this record.
  const result: TensorOf<T> = { dtype, dims, data };
  return result as Tensor<T>;
}

/** A tensor of zeros. */
export function zeros<T extends DType>(dtype: T, dims: readonly number[]): Tensor<T> {
  return tensor(dtype, dims, allocate(dtype, countElements(dims)));
}

/** A float32 tensor from numbers. Default dimensions: one axis. */
export function float32(values: ArrayLike<number>, dims: readonly number[] = [values.length]): Tensor<'float32'> {
  return tensor('float32', dims, Float32Array.from(values));
}

/** An int64 tensor from integers. Default dimensions: one axis. */
export function int64(values: readonly number[], dims: readonly number[] = [values.length]): Tensor<'int64'> {
  return tensor(
    'int64',
    dims,
    BigInt64Array.from(values, (value) => BigInt(value)),
  );
}

/** The same elements under other dimensions (no copy). Throws when the sizes differ. */
export function reshape<T extends DType>(source: Tensor<T>, dims: readonly number[]): Tensor<T> {
  return tensor<T>(source.dtype as T, dims, source.data as DTypeArrays[T]);
}

/** Size of the elements in bytes. */
export function countTensorBytes(source: Tensor): number {
  return source.data.length * getBytesPerElement(source.dtype);
}

/** The raw little-endian bytes of a tensor, as a view. */
export function getTensorBytes(source: Tensor): Uint8Array {
  return new Uint8Array(source.data.buffer, source.data.byteOffset, source.data.byteLength);
}

/** The tensor as float32 elements, checked. Throws with `what` in the message when it holds another type. */
export function expectFloat32(source: Tensor | undefined, what: string): Tensor<'float32'> {
  if (source?.dtype !== 'float32') {
    throw new ShiboriError(`${what}: expected a float32 tensor, found ${source?.dtype ?? 'nothing'}.`, {
      code: 'invalid-graph',
    });
  }
  return source;
}
