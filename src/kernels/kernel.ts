import { ShiboriError } from '../errors.js';
import type { AttributesOf, Op } from '../ops/table.js';
import { computeStrides } from '../tensor/dims.js';
import type { DType, DTypeArrays } from '../tensor/dtype.js';
import { type Tensor, zeros } from '../tensor/tensor.js';

/** Element type and dimensions of a tensor about to be computed. */
export interface TensorType {
  readonly dtype: DType;
  readonly dims: readonly number[];
}

/**
 * How one operator computes: its outputs from its inputs, in double precision. `types` are the types of the outputs,
 * inferred from these very inputs; elements are rounded to them when they are stored.
 */
export type Kernel<K extends Op> = (
  attributes: AttributesOf<K>,
  inputs: readonly (Tensor | undefined)[],
  types: readonly TensorType[],
) => readonly Tensor[];

/** One kernel for every operator of these names: what a family file exports a part of. */
export type Kernels<K extends Op> = { readonly [Name in K]: Kernel<Name> };

/** Entry `i` of a list that is known to have it. */
export function expectEntry<T>(list: readonly (T | undefined)[], i: number): T {
  const entry = list[i];
  if (entry === undefined)
    throw new ShiboriError(`The reference engine misses entry ${i} of ${list.length}.`, { code: 'engine-failed' });
  return entry;
}

type Elements = DTypeArrays[DType];

function isBigIntArray(data: Elements): data is BigInt64Array | BigUint64Array {
  return data instanceof BigInt64Array || data instanceof BigUint64Array;
}

/** The elements as numbers (booleans as 0 and 1). Throws for an integer that a number does not hold exactly. */
export function readNumbers(source: Tensor): ArrayLike<number> {
  if (source.dtype === 'float16' || source.dtype === 'bfloat16') {
    throw new ShiboriError(
      `The reference engine does not compute in ${source.dtype}. Cast the model to float32 first.`,
      { code: 'engine-failed' },
    );
  }
  if (!isBigIntArray(source.data)) return source.data;
  return Float64Array.from(source.data as ArrayLike<bigint>, (element) => {
    const value = Number(element);
    if (Number.isSafeInteger(value)) return value;
    throw new ShiboriError(`The reference engine computes with integers up to 2^53, found ${element}.`, {
      code: 'engine-failed',
    });
  });
}

/** Axes, starts, pads and the like: integers where "as far as possible" is written as the largest int64. */
export function readIntegers(source: Tensor): number[] {
  return Array.from(source.data, Number);
}

/** A tensor of this type from numbers, rounded to its dtype. */
export function fromNumbers(type: TensorType, values: ArrayLike<number>): Tensor {
  const result = zeros(type.dtype, type.dims);
  const { data } = result;
  if (result.dtype === 'float16' || result.dtype === 'bfloat16') {
    throw new ShiboriError(
      `The reference engine does not compute in ${result.dtype}. Cast the model to float32 first.`,
      { code: 'engine-failed' },
    );
  }
  if (!isBigIntArray(data)) data.set(values);
  else {
    for (let i = 0; i < data.length; i++) {
      const value = values[i] ?? 0;
      if (!Number.isSafeInteger(value)) {
        throw new ShiboriError(`The reference engine computes with integers up to 2^53, found ${value}.`, {
          code: 'engine-failed',
        });
      }
      data[i] = BigInt(value);
    }
  }
  return result;
}

/** A tensor of this type whose element `i` is `compute(i)`. */
export function generate(type: TensorType, compute: (i: number) => number): Tensor {
  const count = type.dims.reduce((size, dim) => size * dim, 1);
  const values = new Float64Array(count);
  for (let i = 0; i < count; i++) values[i] = compute(i);
  return fromNumbers(type, values);
}

/**
 * The flat positions that a strided walk over `dims` visits, in row-major order. Stride 0 repeats (broadcasting),
 * permuted strides transpose, multiplied ones skip.
 */
export function listStridedPositions(dims: readonly number[], strides: readonly number[], offset = 0): Float64Array {
  const count = dims.reduce((size, dim) => size * dim, 1);
  const positions = new Float64Array(count);
  const index = dims.map(() => 0);
  let position = offset;
  for (let i = 0; i < count; i++) {
    positions[i] = position;
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      const next = (index[axis] ?? 0) + 1;
      position += strides[axis] ?? 0;
      if (next < (dims[axis] ?? 1)) {
        index[axis] = next;
        break;
      }
      position -= next * (strides[axis] ?? 0);
      index[axis] = 0;
    }
  }
  return positions;
}

/** For each element of `out`, the flat position of the element that is broadcast to it from `dims`. */
export function listBroadcastPositions(dims: readonly number[], out: readonly number[]): Float64Array {
  const own = computeStrides(dims);
  const extra = out.length - dims.length;
  const strides = out.map((_, axis) => (axis < extra || dims[axis - extra] === 1 ? 0 : (own[axis - extra] ?? 0)));
  return listStridedPositions(out, strides);
}

/** Copies elements of any dtype, bit by bit: `to[toAt[i]] = from[fromAt[i]]`. */
export function move(from: Tensor, fromAt: ArrayLike<number>, to: Tensor, toAt: ArrayLike<number>): void {
  const [source, target] = [from.data, to.data];
  const count = fromAt.length;
  if (isBigIntArray(source) && isBigIntArray(target)) {
    for (let i = 0; i < count; i++) target[toAt[i] as number] = source[fromAt[i] as number] as bigint;
  } else if (!isBigIntArray(source) && !isBigIntArray(target)) {
    for (let i = 0; i < count; i++) target[toAt[i] as number] = source[fromAt[i] as number] as number;
  } else {
    throw new ShiboriError(`Elements of ${from.dtype} cannot be moved into a ${to.dtype} tensor.`, {
      code: 'engine-failed',
    });
  }
}

/** A tensor of the elements of `source` at these flat positions. */
export function pick(source: Tensor, dims: readonly number[], positions: ArrayLike<number>): Tensor {
  const result = zeros(source.dtype, dims);
  move(source, positions, result, listStridedPositions(dims, computeStrides(dims)));
  return result;
}
