/*
 * What the end of a classifier does to its logits z: softmax, sigmoid, their logarithms, as one operator or spelled out
 *   softmax      exp(z) / Σ exp(z),  exp(z − max z) / Σ exp(z − max z),  p / Σ p of a softmax (Keras)
 *   log-softmax  z − log Σ exp(z),   z − max z − log Σ exp(z − max z),   log(softmax)
 *   sigmoid      1 / (1 + exp(−z)),  log-sigmoid −softplus(−z)
 * with changes of layout, bounds (Clip, a tiny constant) and a division by the sum in between.
 */
import type { Node, Value } from '../../graph/model.js';
import { readAttributes } from '../table.js';
import type { Walk } from './walk.js';

/** How scores follow from logits. */
export interface Ending {
  readonly kind: 'probabilities' | 'log-probabilities';
  /** The function, by its ONNX operator. `Clip`: cut off to 0…1. */
  readonly link: 'Softmax' | 'Sigmoid' | 'HardSigmoid' | 'Clip';
  readonly logits: Value;
  /** Whether every class has a probability of its own; otherwise all sum up to 1. */
  readonly each: boolean;
  /** Whether the function alone gives the scores, but for bounds that keep them finite. */
  readonly exact: boolean;
}

const softmax = (logits: Value, kind: Ending['kind'] = 'probabilities'): Ending => ({
  kind,
  link: 'Softmax',
  logits,
  each: false,
  exact: true,
});

const sigmoid = (logits: Value, kind: Ending['kind'] = 'probabilities'): Ending => ({
  kind,
  link: 'Sigmoid',
  logits,
  each: true,
  exact: true,
});

/** The value in front of a subtraction of its own largest element, which changes no softmax. */
function withoutShift(walk: Walk, value: Value): Value {
  const base = walk.withoutLayout(value);
  const node = walk.producer(base);
  const [shifted, shift] = node?.inputs ?? [];
  if (node?.op !== 'Sub' || !shifted || !shift) return value;
  return walk.isSame(walk.reduced(shift, ['ReduceMax', 'ReduceMean']), shifted) ? shifted : value;
}

const getInput = (walk: Walk, value: Value | undefined, op: string): Value | undefined => {
  const node = value && walk.producer(walk.withoutLayout(value));
  return node?.op === op ? node.inputs[0] : undefined;
};

function fromSoftmax(walk: Walk, node: Node): Ending | undefined {
  const op = node.op === 'Softmax' ? 'Softmax' : 'LogSoftmax';
  const [input] = node.inputs;
  if (!input || walk.columns < 2) return undefined;
  const { axis } = readAttributes(op, node);
  const dims = input.type?.dims;
  if (dims && dims[axis < 0 ? axis + dims.length : axis] !== walk.columns) return undefined;
  return softmax(withoutShift(walk, input), op === 'Softmax' ? 'probabilities' : 'log-probabilities');
}

/** Probabilities that are divided by their sum, and exponentials that are: a softmax. */
function normalized(walk: Walk, value: Value): Ending | undefined {
  const inner = findEnding(walk, value);
  if (inner?.kind === 'probabilities') return { ...inner, each: false, exact: inner.exact && !inner.each };
  const exponent = getInput(walk, walk.withoutBounds(value), 'Exp');
  return exponent && softmax(withoutShift(walk, exponent));
}

/** z of 1 + exp(−z). */
function sigmoidDenominator(walk: Walk, value: Value | undefined): Value | undefined {
  const node = value && walk.producer(walk.withoutLayout(value));
  const pair = node?.op === 'Add' ? walk.withConstant(node) : undefined;
  const exponent = pair?.constant === 1 ? getInput(walk, pair.value, 'Exp') : undefined;
  return getInput(walk, exponent, 'Neg');
}

function fromDivision(walk: Walk, { inputs }: Node): Ending | undefined {
  const [numerator, denominator] = inputs;
  if (!numerator || !denominator) return undefined;
  if (walk.constant(numerator) === 1) {
    const logits = sigmoidDenominator(walk, denominator);
    return logits && sigmoid(logits);
  }
  const summed = walk.reduced(denominator, ['ReduceSum', 'ReduceL1']);
  return walk.isSame(summed && walk.withoutBounds(summed), walk.withoutBounds(numerator))
    ? normalized(walk, numerator)
    : undefined;
}

function fromProduct(walk: Walk, { inputs }: Node): Ending | undefined {
  for (const [value, factor] of [inputs, inputs.toReversed()]) {
    const sum = value && getInput(walk, factor, 'Reciprocal');
    const summed = sum && walk.reduced(sum, ['ReduceSum', 'ReduceL1']);
    if (value && walk.isSame(summed && walk.withoutBounds(summed), walk.withoutBounds(value)))
      return normalized(walk, value);
  }
  return undefined;
}

/** The value of which something is the logarithm of the sum of exponentials. */
function logSumExp(walk: Walk, value: Value): Value | undefined {
  const direct = walk.reduced(value, ['ReduceLogSumExp']);
  if (direct) return direct;
  const logged = getInput(walk, value, 'Log');
  const summed = logged ? walk.reduced(logged, ['ReduceSum']) : walk.reduced(value, ['ReduceLogSum']);
  return getInput(walk, summed, 'Exp');
}

/** x − log Σ exp(x), where the largest element may be taken out of the exponentials and added again. */
function fromDifference(walk: Walk, { inputs }: Node): Ending | undefined {
  const [x, term] = inputs;
  if (!x || !term) return undefined;
  const logSoftmax = (logits: Value) => softmax(withoutShift(walk, logits), 'log-probabilities');
  if (walk.isSame(logSumExp(walk, term), x)) return logSoftmax(x);
  const sum = walk.producer(walk.withoutLayout(term));
  if (sum?.op !== 'Add') return undefined;
  for (const part of sum.inputs) {
    const shifted = part && logSumExp(walk, part);
    const whole = shifted && withoutShift(walk, shifted);
    if (whole && whole !== shifted && walk.isSame(whole, x)) return logSoftmax(x);
  }
  return undefined;
}

function fromClip(walk: Walk, node: Node, value: Value): Ending | undefined {
  const inside = walk.withoutBounds(value);
  const inner = inside === value ? undefined : findEnding(walk, inside);
  if (inner) return inner;
  const [input, low, high] = node.inputs;
  if (node.op !== 'Clip' || !input || walk.constant(low) !== 0 || walk.constant(high) !== 1) return undefined;
  return { kind: 'probabilities', link: 'Clip', logits: input, each: true, exact: false };
}

const readers: Readonly<Record<string, (walk: Walk, node: Node, value: Value) => Ending | undefined>> = {
  Softmax: fromSoftmax,
  LogSoftmax: fromSoftmax,
  Sigmoid: (_, { inputs: [z] }) => z && sigmoid(z),
  HardSigmoid: (_, { inputs: [z] }) =>
    z && { kind: 'probabilities', link: 'HardSigmoid', logits: z, each: true, exact: false },
  Neg(walk, { inputs: [value] }) {
    const logits = getInput(walk, getInput(walk, value, 'Softplus'), 'Neg');
    return logits && sigmoid(logits, 'log-probabilities');
  },
  Log(walk, { inputs: [value] }) {
    const inner = value && findEnding(walk, value);
    return inner?.kind === 'probabilities' ? { ...inner, kind: 'log-probabilities' } : undefined;
  },
  Exp(walk, { inputs: [value] }) {
    const inner = value && findEnding(walk, value);
    return inner?.kind === 'log-probabilities' ? { ...inner, kind: 'probabilities' } : undefined;
  },
  Reciprocal(walk, { inputs: [value] }) {
    const logits = sigmoidDenominator(walk, value);
    return logits && sigmoid(logits);
  },
  Div: fromDivision,
  Mul: fromProduct,
  Sub: (walk, node, value) => fromDifference(walk, node) ?? fromClip(walk, node, value),
  Add: fromClip,
  Clip: fromClip,
  Max: fromClip,
  Min: fromClip,
};

/** Finds how a value of one element for each class follows from logits; `undefined` where it does not. */
export function findEnding(walk: Walk, value: Value): Ending | undefined {
  const base = walk.withoutLayout(value);
  const node = walk.producer(base);
  return node && readers[node.op]?.(walk, node, base);
}
