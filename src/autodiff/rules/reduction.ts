/** Rules of the operators that combine the elements along axes. */
import type { Value } from '../../graph/model.js';
import { readReducedAxes, type reduction as specs } from '../../ops/reduction.js';
import { countElements } from '../../tensor/dims.js';
import { notDifferentiable, type RuleContext, type Rules } from '../rule.js';
import { castLike, keepWhere, numberLike, reshapeTo, scaleBy } from './terms.js';

type Reduction = Exclude<keyof typeof specs, 'ArgMax' | 'ArgMin' | 'CumSum'>;

/** The reduced axes, and a value of the output's dimensions with these axes back as 1. */
function readReduction(c: RuleContext<Reduction>) {
  const dims = c.dims(c.x(0));
  const axes = readReducedAxes(c.attributes, c.constant(1), c.has(1), dims.length);
  if (!axes) throw c.fail('the axes to reduce are computed at run time; they must be constants.');
  const kept = dims.map((size, axis) => (axes.includes(axis) ? 1 : size));
  return {
    axes,
    dims,
    count: countElements(axes.map((axis) => dims[axis] ?? 1)),
    keep: (value: Value) => reshapeTo(c.builder, value, kept),
  };
}

/** `dX = dY [X = Y] / (number of elements that equal Y)`: ties share equally, as in PyTorch's `amax` and `amin`. */
function differentiateReducedExtremum(c: RuleContext<'ReduceMax' | 'ReduceMin'>): (Value | undefined)[] {
  const b = c.builder;
  const { axes, keep } = readReduction(c);
  const attained = castLike(b, b.op('Equal', [c.x(0), keep(c.y)]), c.dy);
  if (axes.length === 0) return [c.dy];
  const count = b.op('ReduceSum', [attained, b.ints(axes)], { keepdims: 1 });
  return [b.op('Mul', [attained, b.op('Div', [keep(c.dy), count])])];
}

export const reduction: Rules<keyof typeof specs> = {
  // dX = dY, repeated along the reduced axes
  ReduceSum(c) {
    const { dims, keep } = readReduction(c);
    return [c.builder.op('Expand', [keep(c.dy), c.builder.ints(dims)])];
  },
  // dX = dY / count, repeated along the reduced axes
  ReduceMean(c) {
    const { dims, count, keep } = readReduction(c);
    return [c.builder.op('Expand', [scaleBy(c.builder, keep(c.dy), 1 / count), c.builder.ints(dims)])];
  },
  ReduceMax: differentiateReducedExtremum,
  ReduceMin: differentiateReducedExtremum,
  ReduceProd: differentiateReducedProduct,
  // dX = dY sign(X)
  ReduceL1: (c) => [c.builder.op('Mul', [readReduction(c).keep(c.dy), c.builder.op('Sign', [c.x(0)])])],
  // dX = dY X / Y, and 0 where all are 0, as in PyTorch
  ReduceL2(c) {
    const b = c.builder;
    const { keep } = readReduction(c);
    const zero = numberLike(b, 0, c.y);
    const norm = b.op('Where', [b.op('Greater', [c.y, zero]), c.y, numberLike(b, 1, c.y)]);
    return [b.op('Mul', [c.x(0), keep(b.op('Div', [c.dy, norm]))])];
  },
  // dX = 2 dY X
  ReduceSumSquare: (c) => [c.builder.op('Mul', [c.x(0), scaleBy(c.builder, readReduction(c).keep(c.dy), 2)])],
  // dX = dY exp(-Y), repeated along the reduced axes
  ReduceLogSum(c) {
    const b = c.builder;
    const { dims, keep } = readReduction(c);
    const share = b.op('Mul', [c.dy, b.op('Exp', [b.op('Neg', [c.y])])]);
    return [b.op('Expand', [keep(share), b.ints(dims)])];
  },
  // dX = dY exp(X - Y)
  ReduceLogSumExp(c) {
    const b = c.builder;
    const { keep } = readReduction(c);
    return [b.op('Mul', [keep(c.dy), b.op('Exp', [b.op('Sub', [c.x(0), keep(c.y)])])])];
  },
  ArgMax: notDifferentiable,
  ArgMin: notDifferentiable,
  // dX = the sums of dY from the other end
  CumSum: ({ builder: b, dy, attributes, ...c }) => [
    b.op('CumSum', [dy, c.x(1)], { ...attributes, reverse: attributes.reverse ? 0 : 1 }),
  ],
};

// dXi = dY times the product of the others. That is Y / Xi, but for zeros: with one of them, only its own gradient is
// not 0; with several, none is.
function differentiateReducedProduct(c: RuleContext<'ReduceProd'>): (Value | undefined)[] {
  const b = c.builder;
  const { axes, keep } = readReduction(c);
  if (axes.length === 0) return [c.dy];
  const x = c.x(0);
  const isZero = b.op('Equal', [x, numberLike(b, 0, x)]);
  const others = b.op('Where', [isZero, numberLike(b, 1, x), x]);
  const over = b.ints(axes);
  const nonZero = b.op('ReduceProd', [others, over], { keepdims: 1 });
  const zeros = castLike(b, isZero, x);
  const otherZeros = b.op('Sub', [b.op('ReduceSum', [zeros, over], { keepdims: 1 }), zeros]);
  const isAlone = b.op('Equal', [otherZeros, numberLike(b, 0, x)]);
  const slope = keepWhere(b, isAlone, b.op('Div', [nonZero, others]));
  return [b.op('Mul', [keep(c.dy), slope])];
}
