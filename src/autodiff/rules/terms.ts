/** The constants, masks and cuts that rules are written with. */
import type { Value } from '../../graph/model.js';
import type { GraphBuilder } from '../../ops/builder.js';
import { castLike, numberLike } from '../../ops/terms.js';
import { float32, type Tensor, tensor } from '../../tensor/tensor.js';

export { castLike, numberLike, scaleBy } from '../../ops/terms.js';

/** Zeros of these dimensions in the element type of `like`. */
export function zerosLike(builder: GraphBuilder, dims: readonly number[], like: Value): Value {
  return builder.op('Expand', [numberLike(builder, 0, like), builder.ints(dims)]);
}

/** A constant float tensor in the element type of `like`. */
export function constantLike(
  builder: GraphBuilder,
  values: readonly number[],
  dims: readonly number[],
  like: Value,
): Value {
  const data: Tensor =
    like.type?.dtype === 'float64' ? tensor('float64', dims, Float64Array.from(values)) : float32(values, dims);
  return castLike(builder, builder.initializer('constant/matrix', data), like);
}

/** `value` where `mask` (bool) holds, zero elsewhere. */
export function keepWhere(builder: GraphBuilder, mask: Value, value: Value): Value {
  return builder.op('Where', [mask, value, numberLike(builder, 0, value)]);
}

/** `value` under other dimensions of the same size; itself when they are the same. */
export function reshapeTo(builder: GraphBuilder, value: Value, dims: readonly number[]): Value {
  const own = value.type?.dims;
  if (own?.length === dims.length && own.every((dim, axis) => dim === dims[axis])) return value;
  return builder.op('Reshape', [value, builder.ints(dims)], dims.includes(0) ? { allowzero: 1 } : {});
}

/** The part of `value` from `start` on, `count` elements along `axis`, every `step`th. */
export function sliceAxes(
  builder: GraphBuilder,
  value: Value,
  slices: readonly { readonly axis: number; readonly start: number; readonly count: number; readonly step?: number }[],
): Value {
  const cut = slices.filter(({ axis, start, count }) => start !== 0 || count !== value.type?.dims[axis]);
  if (cut.length === 0) return value;
  return builder.op('Slice', [
    value,
    builder.ints(cut.map(({ start }) => start)),
    builder.ints(cut.map(({ start, count, step }) => start + (count - 1) * (step ?? 1) + 1)),
    builder.ints(cut.map(({ axis }) => axis)),
    builder.ints(cut.map(({ step }) => step ?? 1)),
  ]);
}

/** `value` with its order reversed along the last axis. */
export function reverseAxis(builder: GraphBuilder, value: Value, axis: number): Value {
  return builder.op('Slice', [
    value,
    builder.ints([-1]),
    // Past the front: the smallest int32 stands for "to the very first", as the specification advises.
    builder.ints([-(2 ** 31)]),
    builder.ints([axis]),
    builder.ints([-1]),
  ]);
}

/** `value` with zeros before and after it, one pair of counts an axis; itself when all are 0. */
export function padZeros(builder: GraphBuilder, value: Value, begin: readonly number[], end: readonly number[]): Value {
  if ([...begin, ...end].every((count) => count === 0)) return value;
  return builder.op('Pad', [value, builder.ints([...begin, ...end])]);
}
