import { computeStrides, countElements } from '../../tensor/dims.js';
import { allocate, type DType, type DTypeArrays, fromBytes, getBytesPerElement } from '../../tensor/dtype.js';
import { type Tensor, tensor } from '../../tensor/tensor.js';
import type { Fail, PickledTensor } from './pickle-values.js';

/** Bytes that views may take beyond those of the file: expanded ones (stride 0) are larger than their storage. */
const MAX_EXPANSION_BYTES = 64 * 2 ** 20;

type Words = Uint8Array | Uint16Array | Uint32Array;

/** Makes tensors out of storages. One for a file, since it bounds what all views together may copy. */
export class Materializer {
  #copyable: number;

  constructor(
    fileBytes: number,
    readonly fail: Fail,
  ) {
    this.#copyable = 4 * fileBytes + MAX_EXPANSION_BYTES;
  }

  /** Throws for elements that tensors here cannot hold. */
  checkElementType({ type, dims }: PickledTensor, what: string): DType {
    if (type.dtype !== undefined) return type.dtype;
    throw this.fail(
      `${what} (${type.name} [${dims.join(', ')}]): such elements are not supported. Convert the model in Python: ` +
        'model.float(), or dequantize() what is quantised.',
    );
  }

  /**
   * The tensor that a view shows: without a copy where its elements are contiguous, so that tensors which share a storage
   * still do; gathered in row-major order otherwise.
   *
   * @param what names the tensor in errors.
   * @throws ShiboriError when the view reaches past its storage.
   */
  materialize(pickled: PickledTensor, storage: Uint8Array, what: string): Tensor {
    const { dims, strides, offset, type } = pickled;
    const dtype = this.checkElementType(pickled, what);
    const shown = `${what} (${type.name} [${dims.join(', ')}])`;
    const size = getBytesPerElement(dtype);
    const available = Math.floor(storage.length / size);
    // Numbers beyond 2^53 are inexact, but still beyond any storage.
    const count = dims.includes(0) ? 0 : countElements(dims);
    const last = dims.reduce((index, dim, axis) => index + (dim - 1) * (strides[axis] ?? 0), offset);
    if (count > 0 && last >= available) {
      throw this.fail(`${shown} reaches element ${last} of its storage, which has ${available}. The file is damaged.`);
    }
    if (count === 0) return makeTensor(dtype, dims, allocate(dtype, 0));
    const whole = computeStrides(dims);
    if (dims.every((dim, axis) => dim === 1 || strides[axis] === whole[axis])) {
      return makeTensor(dtype, dims, fromBytes(dtype, storage.subarray(offset * size, (offset + count) * size)));
    }
    this.#copyable -= count * size;
    if (this.#copyable < 0) {
      throw this.fail(
        `${shown} and others repeat so few elements so often that they would fill the memory. Do not trust it.`,
      );
    }
    return makeTensor(dtype, dims, gatherElements(dtype, storage, pickled, count));
  }
}

function makeTensor<T extends DType>(dtype: T, dims: readonly number[], data: DTypeArrays[T]): Tensor<T> {
  return tensor(dtype, dims, data);
}

/** The elements of a strided view in row-major order. */
function gatherElements<T extends DType>(
  dtype: T,
  storage: Uint8Array,
  view: PickledTensor,
  count: number,
): DTypeArrays[T] {
  const result = allocate(dtype, count);
  const size = getBytesPerElement(dtype);
  const wordSize = Math.min(size, 4);
  const wordType = wordSize === 1 ? 'uint8' : wordSize === 2 ? 'uint16' : 'uint32';
  // Elements of 8 bytes are two words, as if there were one more axis.
  const words = size / wordSize;
  const dims = words === 1 ? view.dims : [...view.dims, words];
  const strides = words === 1 ? view.strides : [...view.strides.map((stride) => stride * words), 1];
  const bytes = new Uint8Array(result.buffer, result.byteOffset, result.byteLength);
  gatherWords(fromBytes(wordType, storage), fromBytes(wordType, bytes), view.offset * words, dims, strides);
  return result;
}

function gatherWords(
  from: Words,
  to: Words,
  offset: number,
  dims: readonly number[],
  strides: readonly number[],
): void {
  const inner = dims.length - 1;
  const length = dims[inner] ?? 1;
  const step = strides[inner] ?? 0;
  const index = new Array<number>(dims.length).fill(0);
  let start = offset;
  for (let at = 0; at < to.length; ) {
    for (let i = 0, source = start; i < length; i++, source += step) to[at++] = from[source] as number;
    for (let axis = inner - 1; axis >= 0; axis--) {
      const stride = strides[axis] ?? 0;
      const next = (index[axis] as number) + 1;
      start += stride;
      index[axis] = next;
      if (next < (dims[axis] ?? 1)) break;
      index[axis] = 0;
      start -= next * stride;
    }
  }
}
