/** Rules of the operators that combine the elements along axes. */
import type { Value } from '../../graph/model.js';
import { reducedAxes, type reduction as specs } from '../../ops/reduction.js';
import { sizeOf } from '../../tensor/dims.js';
import { notDifferentiable, type RuleContext, type Rules } from '../rule.js';
import { castLike, reshaped, scaled } from './terms.js';

type Reduction = 'ReduceSum' | 'ReduceMean' | 'ReduceMax' | 'ReduceMin';

/** The reduced axes, and a value of the output's dimensions with these axes back as 1. */
function reductionOf(c: RuleContext<Reduction>) {
  const dims = c.dims(c.x(0));
  const axes = reducedAxes(c.attributes, c.constant(1), c.has(1), dims.length);
  if (!axes) throw c.fail('the axes to reduce are computed at run time; they must be constants.');
  const kept = dims.map((size, axis) => (axes.includes(axis) ? 1 : size));
  return {
    axes,
    dims,
    count: sizeOf(axes.map((axis) => dims[axis] ?? 1)),
    keep: (value: Value) => reshaped(c.builder, value, kept),
  };
}

/** `dX = dY [X = Y] / (number of elements that equal Y)`: ties share equally, as in PyTorch's `amax` and `amin`. */
function extremum(c: RuleContext<'ReduceMax' | 'ReduceMin'>): (Value | undefined)[] {
  const b = c.builder;
  const { axes, keep } = reductionOf(c);
  const attained = castLike(b, b.op('Equal', [c.x(0), keep(c.y)]), c.dy);
  if (axes.length === 0) return [c.dy];
  const count = b.op('ReduceSum', [attained, b.ints(axes)], { keepdims: 1 });
  return [b.op('Mul', [attained, b.op('Div', [keep(c.dy), count])])];
}

export const reduction: Rules<keyof typeof specs> = {
  // dX = dY, repeated along the reduced axes
  ReduceSum(c) {
    const { dims, keep } = reductionOf(c);
    return [c.builder.op('Expand', [keep(c.dy), c.builder.ints(dims)])];
  },
  // dX = dY / count, repeated along the reduced axes
  ReduceMean(c) {
    const { dims, count, keep } = reductionOf(c);
    return [c.builder.op('Expand', [scaled(c.builder, keep(c.dy), 1 / count), c.builder.ints(dims)])];
  },
  ReduceMax: extremum,
  ReduceMin: extremum,
  ArgMax: notDifferentiable,
};
