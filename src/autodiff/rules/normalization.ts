/**
 * Rules of normalisation and regularisation.
 *
 * BatchNormalization: Y = scale X' + B with X' = (X - mean) / sqrt(var + epsilon), per channel. In training mode mean
 * and (biased) variance are those of the batch; source: Ioffe and Szegedy 2015, arXiv:1502.03167, section 3.
 */
import type { Value } from '../../graph/model.js';
import type { GraphBuilder } from '../../ops/builder.js';
import type { normalization as specs } from '../../ops/normalization.js';
import { countElements, range } from '../../tensor/dims.js';
import type { RuleContext, Rules } from '../rule.js';
import { castLike, constantLike, keepWhere, numberLike, reshapeTo, scaleBy } from './terms.js';

export const normalization: Rules<keyof typeof specs> = {
  BatchNormalization: (c) => (c.attributes.training_mode === 1 ? trainedBatchNorm(c) : fixedBatchNorm(c)),

  InstanceNormalization: instanceNorm,
  LayerNormalization: layerNorm,
  LRN: localResponseNorm,

  // Y = X mask / (1 - ratio) in training, Y = X otherwise. dX = dY mask / (1 - ratio)
  Dropout({ builder: b, dy, ...c }) {
    const training = c.has(2) ? c.constant(2)?.[0] : 0;
    if (training === undefined) throw c.fail('whether it trains (its third input) must be a constant.');
    if (training === 0) return [dy];
    const mask = c.node.outputs[1];
    if (!mask) throw c.fail('in training mode its mask output is needed for the gradient; the model leaves it out.');
    const ratio = c.has(1) ? c.constant(1)?.[0] : 0.5;
    if (ratio === undefined) throw c.fail('its ratio (the second input) must be a constant.');
    return [scaleBy(b, keepWhere(b, mask, dy), 1 / (1 - ratio))];
  },
};

/** `1 / sqrt(variance + epsilon)` */
function appendInverseDeviation(b: GraphBuilder, variance: Value, epsilon: number): Value {
  return b.op('Reciprocal', [b.op('Sqrt', [b.op('Add', [variance, numberLike(b, epsilon, variance)])])]);
}

/** What both modes need: sums over everything but the channel, and per-channel values made to broadcast. */
function prepareChannelSums(c: RuleContext<'BatchNormalization'>) {
  const b = c.builder;
  const x = c.x(0);
  const dims = c.dims(x);
  const axes = b.ints(range(dims.length).filter((axis) => axis !== 1));
  const wide = dims.map((size, axis) => (axis === 1 ? size : 1));
  return {
    count: countElements(dims) / (dims[1] ?? 1),
    /** `[1, C, 1, …]` from `[C]`. */
    widen: (value: Value) => castLike(b, reshapeTo(b, value, wide), x),
    sum: (value: Value) => b.op('ReduceSum', [value, axes], { keepdims: 1 }),
    mean: (value: Value) => b.op('ReduceMean', [value, axes], { keepdims: 1 }),
    /** `[C]` in the type of input `i`, from `[1, C, 1, …]`. */
    narrow: (value: Value, i: number) => castLike(b, reshapeTo(b, value, c.dims(c.x(i))), c.x(i)),
    inverseDeviation: (variance: Value) => appendInverseDeviation(b, variance, c.attributes.epsilon),
  };
}

// dX = dY scale r, dScale = sum(dY X'), dB = sum(dY), with r = 1 / sqrt(var + epsilon);
// dMean = -scale r dB, dVar = -1/2 scale r^2 dScale
function fixedBatchNorm(c: RuleContext<'BatchNormalization'>): (Value | undefined)[] {
  const { builder: b, dy } = c;
  const { widen, narrow, sum, inverseDeviation } = prepareChannelSums(c);
  const r = inverseDeviation(widen(c.x(4)));
  const gain = b.op('Mul', [widen(c.x(1)), r]);
  const dX = c.needs(0) ? b.op('Mul', [dy, gain]) : undefined;
  let dScale: Value | undefined;
  if (c.needs(1) || c.needs(4)) {
    const centred = b.op('Sub', [c.x(0), widen(c.x(3))]);
    dScale = b.op('Mul', [sum(b.op('Mul', [dy, centred])), r]);
  }
  const dB = c.needs(2) || c.needs(3) ? sum(dy) : undefined;
  return [
    dX,
    dScale && c.needs(1) ? narrow(dScale, 1) : undefined,
    dB && c.needs(2) ? narrow(dB, 2) : undefined,
    dB && c.needs(3) ? narrow(b.op('Neg', [b.op('Mul', [gain, dB])]), 3) : undefined,
    dScale && c.needs(4) ? narrow(scaleBy(b, b.op('Mul', [b.op('Mul', [gain, r]), dScale]), -0.5), 4) : undefined,
  ];
}

// dX = scale r (dY - dB / M - X' dScale / M), dScale = sum(dY X'), dB = sum(dY), over the M values of a channel.
// The running mean and variance are not read in training: they have no gradient.
function trainedBatchNorm(c: RuleContext<'BatchNormalization'>): (Value | undefined)[] {
  const { builder: b, dy } = c;
  const { count, widen, narrow, sum, mean, inverseDeviation } = prepareChannelSums(c);
  const centred = b.op('Sub', [c.x(0), mean(c.x(0))]);
  const r = inverseDeviation(mean(b.op('Mul', [centred, centred])));
  const normalized = b.op('Mul', [centred, r]);
  const dScale = sum(b.op('Mul', [dy, normalized]));
  const dB = sum(dy);
  let dX: Value | undefined;
  if (c.needs(0)) {
    const shared = b.op('Add', [b.op('Mul', [normalized, scaleBy(b, dScale, 1 / count)]), scaleBy(b, dB, 1 / count)]);
    dX = b.op('Mul', [b.op('Sub', [dy, shared]), b.op('Mul', [widen(c.x(1)), r])]);
  }
  return [dX, c.needs(1) ? narrow(dScale, 1) : undefined, c.needs(2) ? narrow(dB, 2) : undefined];
}

/** `C = X - mean` and `r = 1 / sqrt(var + epsilon)` over `axes`: what `X' = C r` is made of. */
function appendMeanAndDeviation(
  b: GraphBuilder,
  x: Value,
  dims: readonly number[],
  axes: readonly number[],
  epsilon: number,
) {
  const over = b.ints(axes);
  const count = countElements(axes.map((axis) => dims[axis] ?? 1));
  const mean = (value: Value) => b.op('ReduceMean', [value, over], { keepdims: 1 });
  const centred = b.op('Sub', [x, mean(x)]);
  const squares = b.op('ReduceSumSquare', [centred, over], { keepdims: 1 });
  return { count, mean, centred, r: appendInverseDeviation(b, scaleBy(b, squares, 1 / count), epsilon) };
}

// dX = scale r (dY - mean(dY) - C r^2 mean(dY C)), dScale = sum(dY C r), dB = sum(dY)
function instanceNorm({ builder: b, dy, ...c }: RuleContext<'InstanceNormalization'>): (Value | undefined)[] {
  const dims = c.dims(c.x(0));
  const space = range(dims.length).slice(2);
  const total = (value: Value) => b.op('ReduceSum', [value, b.ints([0, ...space])], { keepdims: 0 });
  const dB = c.needs(2) ? total(dy) : undefined;
  if (!c.needs(0) && !c.needs(1)) return [undefined, undefined, dB];
  const { count, mean, centred, r } = appendMeanAndDeviation(b, c.x(0), dims, space, c.attributes.epsilon);
  const along = b.op('Mul', [mean(b.op('Mul', [dy, centred])), r]);
  let dX: Value | undefined;
  if (c.needs(0)) {
    const shared = b.op('Add', [b.op('Mul', [centred, b.op('Mul', [along, r])]), mean(dy)]);
    const scale = reshapeTo(b, c.x(1), [dims[1] ?? 1, ...space.map(() => 1)]);
    dX = b.op('Mul', [b.op('Sub', [dy, shared]), b.op('Mul', [scale, r])]);
  }
  return [dX, c.needs(1) ? total(scaleBy(b, along, count)) : undefined, dB];
}

// dX = r (G - mean(G) - X' mean(G X')) with G = dY scale; dScale = dY X', dB = dY
function layerNorm({ builder: b, dy, ...c }: RuleContext<'LayerNormalization'>): (Value | undefined)[] {
  if (!c.needs(0) && !c.needs(1)) return [undefined, undefined, dy];
  const dims = c.dims(c.x(0));
  const axes = range(dims.length).slice(c.attributes.axis);
  const { mean, centred, r } = appendMeanAndDeviation(b, c.x(0), dims, axes, c.attributes.epsilon);
  const normalized = b.op('Mul', [centred, r]);
  let dX: Value | undefined;
  if (c.needs(0)) {
    const g = b.op('Mul', [dy, c.x(1)]);
    const along = b.op('Mul', [normalized, mean(b.op('Mul', [g, normalized]))]);
    dX = b.op('Mul', [b.op('Sub', [g, b.op('Add', [along, mean(g)])]), r]);
  }
  return [dX, c.needs(1) ? b.op('Mul', [dy, normalized]) : undefined, dy];
}

// Y = X S^-beta with S = bias + alpha / size W X^2 and W the matrix that adds up neighbouring channels:
// dX = dY S^-beta - 2 alpha beta / size X W' (dY Y / S)
function localResponseNorm({ builder: b, dy, y, ...c }: RuleContext<'LRN'>): (Value | undefined)[] {
  const { alpha, beta, bias, size } = c.attributes;
  const x = c.x(0);
  const dims = c.dims(x);
  const channels = dims[1] ?? 1;
  const [before, after] = [Math.floor((size - 1) / 2), Math.ceil((size - 1) / 2)];
  const window = (from: number, to: number) => {
    const isNear = (i: number, j: number) => j >= i - from && j <= i + to;
    const matrix = range(channels).flatMap((i) => range(channels).map((j) => (isNear(i, j) ? 1 : 0)));
    return constantLike(b, matrix, [channels, channels], x);
  };
  const summed = (matrix: Value, value: Value) => {
    const columns = reshapeTo(b, value, [dims[0] ?? 1, channels, countElements(dims.slice(2))]);
    return reshapeTo(b, b.op('MatMul', [matrix, columns]), dims);
  };
  const squares = scaleBy(b, summed(window(before, after), b.op('Mul', [x, x])), alpha / size);
  const s = b.op('Add', [squares, numberLike(b, bias, x)]);
  const own = b.op('Mul', [dy, b.op('Pow', [s, numberLike(b, -beta, x)])]);
  const others = summed(window(after, before), b.op('Div', [b.op('Mul', [dy, y]), s]));
  return [b.op('Sub', [own, b.op('Mul', [x, scaleBy(b, others, (2 * alpha * beta) / size)])])];
}
