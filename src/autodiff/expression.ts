/**
 * Scalars to differentiate, written as functions of a model's outputs: `(scores) => max(scores)`.
 *
 * An expression is a recipe for ONNX nodes. Nothing is computed before a graph is built from it.
 */
import { ShiboriError } from '../errors.js';
import type { Value } from '../graph/model.js';
import type { GraphBuilder } from '../ops/builder.js';
import { int64 } from '../tensor/tensor.js';

/** Describes a tensor that a graph will compute. */
export interface Expression {
  /** Adds the nodes that compute it, and returns its value. */
  build(builder: GraphBuilder): Value;
}

/** Lists the axes of a value after the batch axis. */
function listInnerAxes(value: Value): number[] {
  const rank = value.type?.dims.length ?? 0;
  if (rank === 0) {
    throw new ShiboriError(`"${value.name}" has no axis for images: expected a tensor [N, …].`, {
      code: 'unsupported-model',
    });
  }
  return Array.from({ length: rank - 1 }, (_, i) => i + 1);
}

const reduce = (op: 'ReduceMax' | 'ReduceSum' | 'ReduceMean', x: Expression): Expression => ({
  build(builder) {
    const value = x.build(builder);
    const axes = listInnerAxes(value);
    return axes.length === 0 ? value : builder.op(op, [value, builder.ints(axes)], { keepdims: 0 });
  },
});

/**
 * Takes the largest element of each image: `[N, …]` → `[N]`. Its gradient goes to the element that is largest.
 *
 * @example
 * ```ts
 * const { gradients: g } = await gradients(model, { of: (scores) => max(scores), wrt: 'input' }, images);
 * ```
 */
export const max = (x: Expression): Expression => reduce('ReduceMax', x);

/** Sums the elements of each image: `[N, …]` → `[N]`. */
export const sum = (x: Expression): Expression => reduce('ReduceSum', x);

/** Averages the elements of each image: `[N, …]` → `[N]`. */
export const mean = (x: Expression): Expression => reduce('ReduceMean', x);

/**
 * Takes one class of each image: `[N, classes]` → `[N]`.
 *
 * @param index class, from 0.
 * @example
 * ```ts
 * const { gradients: whyStar } = await gradients(model, { of: (scores) => pick(scores, 2), wrt: 'input' }, images);
 * ```
 */
export function pick(x: Expression, index: number): Expression {
  return {
    build: (builder) =>
      builder.op('Gather', [x.build(builder), builder.initializer('class', int64([index], []))], { axis: 1 }),
  };
}

/** Subtracts: `[N]` or `[N, …]` of both. The gradient of a difference of two classes says "why this and not that". */
export function difference(a: Expression, b: Expression): Expression {
  return { build: (builder) => builder.op('Sub', [a.build(builder), b.build(builder)]) };
}
