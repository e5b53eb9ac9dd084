/** The typed array that holds each element type. `float16` and `bfloat16` hold raw bits, `bool` holds 0 or 1. */
export interface DTypeArrays {
  float32: Float32Array;
  float64: Float64Array;
  float16: Uint16Array;
  bfloat16: Uint16Array;
  int8: Int8Array;
  uint8: Uint8Array;
  int16: Int16Array;
  uint16: Uint16Array;
  int32: Int32Array;
  uint32: Uint32Array;
  int64: BigInt64Array;
  uint64: BigUint64Array;
  bool: Uint8Array;
}

/** An element type, named as NumPy and PyTorch name it. */
export type DType = keyof DTypeArrays;

type ArrayConstructor<T extends DType> = {
  readonly BYTES_PER_ELEMENT: number;
  new (length: number): DTypeArrays[T];
  new (buffer: ArrayBufferLike, byteOffset?: number, length?: number): DTypeArrays[T];
};

const constructors: { readonly [T in DType]: ArrayConstructor<T> } = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
};

/** All element types. */
export const dtypes = Object.keys(constructors) as readonly DType[];

/** Bytes of one element. */
export function getBytesPerElement(dtype: DType): number {
  return constructors[dtype].BYTES_PER_ELEMENT;
}

/** A zero-filled typed array for `length` elements of `dtype`. */
export function allocate<T extends DType>(dtype: T, length: number): DTypeArrays[T] {
  return new constructors[dtype](length);
}

/**
 * The elements of `dtype` that `bytes` holds (little endian). A view when the offset is aligned, otherwise a copy.
 * `bytes.byteLength` must be a multiple of the element size.
 */
export function fromBytes<T extends DType>(dtype: T, bytes: Uint8Array): DTypeArrays[T] {
  const size = getBytesPerElement(dtype);
  // Not `slice`: on a Node Buffer that gives a view, which would be as unaligned.
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  return new constructors[dtype](aligned.buffer, aligned.byteOffset, Math.floor(aligned.byteLength / size));
}

/** Whether gradients can flow through values of this type. */
export function isFloat(dtype: DType): boolean {
  return dtype === 'float32' || dtype === 'float64' || dtype === 'float16' || dtype === 'bfloat16';
}
