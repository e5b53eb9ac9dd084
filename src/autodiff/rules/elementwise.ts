/**
 * Rules of the element-wise operators. `dY` is the gradient of the output; a gradient that comes out with broadcast
 * dimensions is summed to the input's by the walker.
 *
 * Where a function has a kink, the rule follows PyTorch: |x| takes slope 0 at 0, Clip passes the gradient at both
 * bounds, Max and Min divide it equally among the inputs that attain the result.
 */
import type { Value } from '../../graph/model.js';
import type { elementwise as specs } from '../../ops/elementwise.js';
import type { Op } from '../../ops/table.js';
import { notDifferentiable, type Rule, type RuleContext, type Rules } from '../rule.js';
import { castLike, keepWhere, numberLike, scaleBy } from './terms.js';

/** Rule of `y = f(x)` from f'(x): `dX = dY * f'(X)`. */
export function derivative<K extends Op>(slope: (c: RuleContext<K>) => Value): Rule<K> {
  return (c) => [c.builder.op('Mul', [c.dy, slope(c)])];
}

/** `dXi = dY [Xi = Y] / (number of inputs that equal Y)`. */
const differentiateExtremum: Rule<'Max'> & Rule<'Min'> = (c: RuleContext<'Max'> | RuleContext<'Min'>) => {
  const { builder: b, dy, y } = c;
  const inputs = c.node.inputs.map((_, i) => c.x(i));
  if (inputs.length === 1) return [dy];
  const attained = inputs.map((x) => castLike(b, b.op('Equal', [x, y]), dy));
  const count = attained.reduce((sum, mask) => b.op('Add', [sum, mask]));
  const share = b.op('Div', [dy, count]);
  return attained.map((mask, i) => (c.needs(i) ? b.op('Mul', [share, mask]) : undefined));
};

/** `sign X^2 + shift` */
function appendShiftedSquare<K extends Op>({ builder: b, ...c }: RuleContext<K>, sign: 1 | -1, shift: 1 | -1): Value {
  const x = c.x(0);
  const product = b.op('Mul', [x, x]);
  const constant = numberLike(b, shift, x);
  return sign === 1 ? b.op('Add', [product, constant]) : b.op('Sub', [constant, product]);
}

/** `sqrt(sign X^2 + shift)` */
function appendRootedSquare<K extends Op>(c: RuleContext<K>, sign: 1 | -1, shift: 1 | -1): Value {
  return c.builder.op('Sqrt', [appendShiftedSquare(c, sign, shift)]);
}

export const elementwise: Rules<keyof typeof specs> = {
  // dA = dY, dB = dY
  Add: (c) => [c.dy, c.dy],
  // dA = dY, dB = -dY
  Sub: (c) => [c.dy, c.needs(1) ? c.builder.op('Neg', [c.dy]) : undefined],
  // dA = dY * B, dB = dY * A
  Mul: (c) => [
    c.needs(0) ? c.builder.op('Mul', [c.dy, c.x(1)]) : undefined,
    c.needs(1) ? c.builder.op('Mul', [c.dy, c.x(0)]) : undefined,
  ],
  // dA = dY / B, dB = -dY * Y / B
  Div({ builder: b, ...c }) {
    const dA = b.op('Div', [c.dy, c.x(1)]);
    return [dA, c.needs(1) ? b.op('Neg', [b.op('Mul', [dA, c.y])]) : undefined];
  },
  Pow: (c) => [c.needs(0) ? powerBase(c) : undefined, c.needs(1) ? powerExponent(c) : undefined],
  Min: differentiateExtremum,
  Max: differentiateExtremum,
  // dXi = dY
  Sum: (c) => c.node.inputs.map(() => c.dy),
  // dXi = dY / n
  Mean(c) {
    const share = scaleBy(c.builder, c.dy, 1 / c.node.inputs.length);
    return c.node.inputs.map(() => share);
  },
  // A = Q B + Y with the whole number Q: dA = dY, dB = -dY * Q
  Mod({ builder: b, ...c }) {
    if (!c.needs(1)) return [c.dy];
    const quotient = b.op('Round', [b.op('Div', [b.op('Sub', [c.x(0), c.y]), c.x(1)])]);
    return [c.dy, b.op('Neg', [b.op('Mul', [c.dy, quotient])])];
  },
  // dX = -dY
  Neg: (c) => [c.builder.op('Neg', [c.dy])],
  // dX = dY * sign(X)
  Abs: derivative((c) => c.builder.op('Sign', [c.x(0)])),
  Sign: notDifferentiable,
  // dX = -dY * Y^2
  Reciprocal: derivative(({ builder: b, y }) => b.op('Neg', [b.op('Mul', [y, y])])),
  // dX = dY * Y
  Exp: derivative((c) => c.y),
  // dX = dY / X
  Log: (c) => [c.builder.op('Div', [c.dy, c.x(0)])],
  // dX = dY / (2 Y)
  Sqrt: ({ builder: b, dy, y }) => [b.op('Div', [scaleBy(b, dy, 0.5), y])],
  // dX = dY * 2 / sqrt(pi) * exp(-X^2)
  Erf: derivative((c) => {
    const b = c.builder;
    const square = b.op('Mul', [c.x(0), c.x(0)]);
    return scaleBy(b, b.op('Exp', [b.op('Neg', [square])]), 2 / Math.sqrt(Math.PI));
  }),
  Floor: notDifferentiable,
  Ceil: notDifferentiable,
  Round: notDifferentiable,
  // dX = dY * cos(X)
  Sin: derivative((c) => c.builder.op('Cos', [c.x(0)])),
  // dX = -dY * sin(X)
  Cos: derivative(({ builder: b, ...c }) => b.op('Neg', [b.op('Sin', [c.x(0)])])),
  // dX = dY * (1 + Y^2)
  Tan: derivative(({ builder: b, y }) => b.op('Add', [b.op('Mul', [y, y]), numberLike(b, 1, y)])),
  // dX = dY / sqrt(1 - X^2)
  Asin: derivative((c) => c.builder.op('Reciprocal', [appendRootedSquare(c, -1, 1)])),
  // dX = -dY / sqrt(1 - X^2)
  Acos: derivative((c) => c.builder.op('Neg', [c.builder.op('Reciprocal', [appendRootedSquare(c, -1, 1)])])),
  // dX = dY / (1 + X^2)
  Atan: derivative((c) => c.builder.op('Reciprocal', [appendShiftedSquare(c, 1, 1)])),
  // dX = dY * cosh(X)
  Sinh: derivative((c) => c.builder.op('Cosh', [c.x(0)])),
  // dX = dY * sinh(X)
  Cosh: derivative((c) => c.builder.op('Sinh', [c.x(0)])),
  // dX = dY / sqrt(X^2 + 1)
  Asinh: derivative((c) => c.builder.op('Reciprocal', [appendRootedSquare(c, 1, 1)])),
  // dX = dY / sqrt(X^2 - 1)
  Acosh: derivative((c) => c.builder.op('Reciprocal', [appendRootedSquare(c, 1, -1)])),
  // dX = dY / (1 - X^2)
  Atanh: derivative((c) => c.builder.op('Reciprocal', [appendShiftedSquare(c, -1, 1)])),
  // dX = dY
  Identity: (c) => [c.dy],
  Not: notDifferentiable,
  IsNaN: notDifferentiable,
  IsInf: notDifferentiable,
  Clip: clip,
  Equal: notDifferentiable,
  Greater: notDifferentiable,
  GreaterOrEqual: notDifferentiable,
  Less: notDifferentiable,
  LessOrEqual: notDifferentiable,
  And: notDifferentiable,
  Or: notDifferentiable,
  Xor: notDifferentiable,
  // dX = dY [condition], dY = dY [not condition]
  Where: ({ builder: b, ...c }) => [
    undefined,
    c.needs(1) ? keepWhere(b, c.x(0), c.dy) : undefined,
    c.needs(2) ? b.op('Where', [c.x(0), numberLike(b, 0, c.dy), c.dy]) : undefined,
  ],
  // dX = dY in the type of X
  Cast: (c) => [castLike(c.builder, c.dy, c.x(0))],
};

// dA = dY * B * A^(B-1); where B = 0 the exponent is taken as 1, or A = 0 would make it 0 * inf
function powerBase(c: RuleContext<'Pow'>): Value {
  const { builder: b, dy } = c;
  const a = c.x(0);
  const exponents = c.constant(1);
  const [exponent] = exponents ?? [];
  if (exponents?.length === 1 && exponent === 1) return dy;
  if (exponents?.length === 1 && exponent === 2) return b.op('Mul', [dy, scaleBy(b, a, 2)]);
  const power = castLike(b, c.x(1), dy);
  const one = numberLike(b, 1, power);
  let less = b.op('Sub', [power, one]);
  if (!exponents?.every((value) => value !== 0)) {
    less = b.op('Where', [b.op('Equal', [power, numberLike(b, 0, power)]), one, less]);
  }
  return b.op('Mul', [dy, b.op('Mul', [power, b.op('Pow', [a, less])])]);
}

// dB = dY * Y * log(A), and 0 where A = 0 and B >= 0
function powerExponent(c: RuleContext<'Pow'>): Value {
  const { builder: b, dy, y } = c;
  const zero = numberLike(b, 0, dy);
  const slope = b.op('Mul', [dy, b.op('Mul', [y, b.op('Log', [c.x(0)])])]);
  const flat = b.op('And', [b.op('Equal', [c.x(0), zero]), b.op('GreaterOrEqual', [c.x(1), numberLike(b, 0, c.x(1))])]);
  return b.op('Where', [flat, zero, slope]);
}

// Y = min(max(X, low), high): dX = dY [low <= X <= high], dLow = dY [X < low <= high], dHigh = dY [max(X, low) > high]
function clip({ builder: b, ...c }: RuleContext<'Clip'>): (Value | undefined)[] {
  if (c.node.attributes.min || c.node.attributes.max) {
    throw c.fail('its bounds are attributes, as before operator set 11; convert the model to a newer one.');
  }
  const x = c.x(0);
  const low = c.has(1) ? c.x(1) : undefined;
  const high = c.has(2) ? c.x(2) : undefined;
  const inside: Value[] = [];
  if (low) inside.push(b.op('GreaterOrEqual', [x, low]));
  if (high) inside.push(b.op('LessOrEqual', [x, high]));
  const [first, second] = inside;
  if (!first) return [c.dy];
  const dX = c.needs(0) ? keepWhere(b, second ? b.op('And', [first, second]) : first, c.dy) : undefined;
  let dLow: Value | undefined;
  if (low && c.needs(1)) {
    const below = b.op('Less', [x, low]);
    dLow = keepWhere(b, high ? b.op('And', [below, b.op('LessOrEqual', [low, high])]) : below, c.dy);
  }
  let dHigh: Value | undefined;
  if (high && c.needs(2)) {
    dHigh = keepWhere(b, b.op('Greater', [low ? b.op('Max', [x, low]) : x, high]), c.dy);
  }
  return [dX, dLow, dHigh];
}
