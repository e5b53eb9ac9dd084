import type { Dim } from '../graph/model.js';
import { normalizeAxis, range } from '../tensor/dims.js';
import { defineOp, type InferContext, int, ints, makeValueType, optionalInt, type ParsedAttributes } from './spec.js';

const reduceAttributes = { axes: ints, keepdims: int(1), noop_with_empty_axes: int(0) };

/**
 * The axes a `Reduce*` node sums over, sorted: from the attribute (older operator sets) or the constant second input.
 * `undefined` when they are computed at run time.
 */
export function readReducedAxes(
  attributes: ParsedAttributes<typeof reduceAttributes>,
  axesInput: readonly number[] | undefined,
  hasAxesInput: boolean,
  rank: number,
): readonly number[] | undefined {
  const axes = attributes.axes ?? axesInput;
  if (axes === undefined && hasAxesInput) return undefined;
  if (axes === undefined || axes.length === 0) return attributes.noop_with_empty_axes ? [] : range(rank);
  return axes.map((axis) => normalizeAxis(axis, rank)).sort((a, b) => a - b);
}

function computeReducedDims(dims: readonly Dim[], axes: readonly number[], keep: boolean): Dim[] {
  const gone = new Set(axes);
  return keep ? dims.map((dim, axis) => (gone.has(axis) ? 1 : dim)) : dims.filter((_, axis) => !gone.has(axis));
}

const reduce = defineOp({
  attributes: reduceAttributes,
  inputs: [1, 2],
  infer(c: InferContext<ParsedAttributes<typeof reduceAttributes>>) {
    const { dtype, dims } = c.type(0);
    const axes = readReducedAxes(c.attributes, c.constant(1), c.node.inputs[1] !== undefined, dims.length);
    if (!axes) throw c.fail('the axes to reduce are computed at run time; they must be constants.');
    return [makeValueType(dtype, computeReducedDims(dims, axes, c.attributes.keepdims === 1))];
  },
});

const argReduce = defineOp({
  attributes: { axis: int(0), keepdims: int(1), select_last_index: optionalInt },
  inputs: [1, 1],
  infer(c) {
    const { dims } = c.type(0);
    return [
      makeValueType(
        'int64',
        computeReducedDims(dims, [normalizeAxis(c.attributes.axis, dims.length)], c.attributes.keepdims === 1),
      ),
    ];
  },
});

/** Operators that combine the elements along axes. */
export const reduction = {
  ReduceSum: reduce,
  ReduceMean: reduce,
  ReduceMax: reduce,
  ReduceMin: reduce,
  ReduceProd: reduce,
  ReduceL1: reduce,
  ReduceL2: reduce,
  ReduceSumSquare: reduce,
  ReduceLogSum: reduce,
  ReduceLogSumExp: reduce,
  ArgMax: argReduce,
  ArgMin: argReduce,
  CumSum: defineOp({
    attributes: { exclusive: int(0), reverse: int(0) },
    inputs: [2, 2],
    infer: (c) => [c.type(0)],
  }),
};
