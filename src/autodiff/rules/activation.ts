/**
 * Rules of the activation functions.
 *
 * Where a function has a kink, the rule follows PyTorch: ReLU and its relatives take the left slope at 0 (ThresholdedRelu
 * at its threshold), HardSigmoid is flat at both ends of its slope, HardSwish takes the inner slope at both ends.
 */
import type { Value } from '../../graph/model.js';
import type { activation as specs } from '../../ops/activation.js';
import type { Op } from '../../ops/table.js';
import { notDifferentiable, type RuleContext, type Rules } from '../rule.js';
import { derivative } from './elementwise.js';
import { keepWhere, numberLike, scaleBy } from './terms.js';

/** `dX = dY` where `sign` is positive, `alpha dY` elsewhere. */
function rectifyGradient<K extends Op>(c: RuleContext<K>, sign: Value, alpha: number): Value {
  const positive = c.builder.op('Greater', [sign, numberLike(c.builder, 0, sign)]);
  if (alpha === 0) return keepWhere(c.builder, positive, c.dy);
  return c.builder.op('Where', [positive, c.dy, scaleBy(c.builder, c.dy, alpha)]);
}

/** `dX = dY gamma` where X > 0, `dY (gamma alpha + Y / beta)` elsewhere; Y has the sign of X unless alpha is negative. */
function differentiateExponential<K extends Op>(
  c: RuleContext<K>,
  alpha: number,
  gamma: number,
  beta: number,
): Value[] {
  const { builder: b, dy, y } = c;
  const like = (number: number) => numberLike(b, number, y);
  const positive = b.op('Greater', [alpha > 0 ? y : c.x(0), like(0)]);
  const slope = b.op('Add', [scaleBy(b, y, 1 / beta), like(gamma * alpha)]);
  return [b.op('Mul', [dy, b.op('Where', [positive, like(gamma), slope])])];
}

export const activation: Rules<keyof typeof specs> = {
  // dX = dY [Y > 0]; Y rather than X, so that the convolution before it can still be fused with the Relu
  Relu: (c) => [rectifyGradient(c, c.y, 0)],
  // dX = dY [X > 0] + alpha dY [X <= 0]; Y has the sign of X unless alpha is negative
  LeakyRelu: (c) => [rectifyGradient(c, c.attributes.alpha >= 0 ? c.y : c.x(0), c.attributes.alpha)],
  // dX = dY [X > 0] + slope dY [X <= 0], dSlope = X dY [X <= 0]
  PRelu({ builder: b, dy, ...c }) {
    const [x, slope] = [c.x(0), c.x(1)];
    const positive = b.op('Greater', [x, numberLike(b, 0, x)]);
    return [
      c.needs(0) ? b.op('Where', [positive, dy, b.op('Mul', [dy, slope])]) : undefined,
      c.needs(1) ? b.op('Where', [positive, numberLike(b, 0, x), b.op('Mul', [dy, x])]) : undefined,
    ];
  },
  // dX = dY [X > alpha]
  ThresholdedRelu: ({ builder: b, dy, attributes, ...c }) => [
    keepWhere(b, b.op('Greater', [c.x(0), numberLike(b, attributes.alpha, dy)]), dy),
  ],
  // dX = dY where X > 0, dY (Y + alpha) elsewhere
  Elu: (c) => differentiateExponential(c, c.attributes.alpha, 1, 1),
  // dX = gamma dY where X > 0, dY (Y + gamma alpha) elsewhere
  Selu: (c) => differentiateExponential(c, c.attributes.alpha, c.attributes.gamma, 1),
  // dX = dY where X > 0, dY (Y / alpha + 1) elsewhere
  Celu: (c) => differentiateExponential(c, 1, 1, c.attributes.alpha),
  // dX = dY * Y * (1 - Y)
  Sigmoid: derivative(({ builder: b, y }) => b.op('Mul', [y, b.op('Sub', [numberLike(b, 1, y), y])])),
  // dX = alpha dY [0 < Y < 1]
  HardSigmoid({ builder: b, dy, y, attributes }) {
    const above = b.op('Greater', [y, numberLike(b, 0, y)]);
    const below = b.op('Less', [y, numberLike(b, 1, y)]);
    return [keepWhere(b, b.op('And', [above, below]), scaleBy(b, dy, attributes.alpha))];
  },
  // Y = X min(max(X / 6 + 1/2, 0), 1): dX = dY (X / 3 + 1/2) [-3 <= X <= 3] + dY [X > 3]
  HardSwish: derivative(({ builder: b, ...c }) => {
    const x = c.x(0);
    const like = (number: number) => numberLike(b, number, x);
    const inner = b.op('Add', [scaleBy(b, x, 1 / 3), like(0.5)]);
    const left = b.op('Where', [b.op('Less', [x, like(-3)]), like(0), inner]);
    return b.op('Where', [b.op('Greater', [x, like(3)]), like(1), left]);
  }),
  // dX = dY [|X| > lambd]
  Shrink: ({ builder: b, dy, attributes, ...c }) => [
    keepWhere(b, b.op('Greater', [b.op('Abs', [c.x(0)]), numberLike(b, attributes.lambd, dy)]), dy),
  ],
  // Y = X T with T = tanh(softplus(X)): dX = dY (T + X (1 - T^2) sigmoid(X))
  Mish: derivative(({ builder: b, ...c }) => {
    const x = c.x(0);
    const t = b.op('Tanh', [b.op('Softplus', [x])]);
    const rest = b.op('Sub', [numberLike(b, 1, x), b.op('Mul', [t, t])]);
    return b.op('Add', [t, b.op('Mul', [b.op('Mul', [x, rest]), b.op('Sigmoid', [x])])]);
  }),
  // dX = dY * (1 - Y^2)
  Tanh: derivative(({ builder: b, y }) => b.op('Sub', [numberLike(b, 1, y), b.op('Mul', [y, y])])),
  // dX = dY * sigmoid(X)
  Softplus: derivative((c) => c.builder.op('Sigmoid', [c.x(0)])),
  // dX = dY / (1 + |X|)^2
  Softsign: derivative(({ builder: b, ...c }) => {
    const share = b.op('Reciprocal', [b.op('Add', [b.op('Abs', [c.x(0)]), numberLike(b, 1, c.x(0))])]);
    return b.op('Mul', [share, share]);
  }),
  // dX = Y * (dY - sum(dY * Y)) along the axis
  Softmax({ builder: b, dy, y, attributes }) {
    const sum = b.op('ReduceSum', [b.op('Mul', [dy, y]), b.ints([attributes.axis])], { keepdims: 1 });
    return [b.op('Mul', [y, b.op('Sub', [dy, sum])])];
  },
  // dX = dY - exp(Y) * sum(dY) along the axis
  LogSoftmax({ builder: b, dy, y, attributes }) {
    const sum = b.op('ReduceSum', [dy, b.ints([attributes.axis])], { keepdims: 1 });
    return [b.op('Sub', [dy, b.op('Mul', [b.op('Exp', [y]), sum])])];
  },
  Hardmax: notDifferentiable,
};
