/*
 * What the end of a classifier does to its logits z: softmax, sigmoid, their logarithms, as one operator or spelled out
 *   softmax      exp(z) / Σ exp(z),  exp(z − max z) / Σ exp(z − max z),  p / Σ p of a softmax (Keras)
 *   log-softmax  z − log Σ exp(z),   z − max z − log Σ exp(z − max z),   log(softmax)
 *   sigmoid      1 / (1 + exp(−z)),  log-sigmoid −softplus(−z)
 * with changes of layout, bounds (Clip, a tiny constant) and a division by the sum in between.
 */
import type { Node, Value } from '../../graph/model.js';
import { readAttributes } from '../table.js';
import type { BackwardWalk } from './backward-walk.js';

/** How scores follow from logits. */
export interface Ending {
  readonly kind: 'probabilities' | 'log-probabilities';
  /** The function, by its ONNX operator. `Clip`: cut off to 0…1. */
  readonly link: 'Softmax' | 'Sigmoid' | 'HardSigmoid' | 'Clip';
  readonly logits: Value;
  /** Whether every class has a probability of its own; otherwise all sum up to 1. */
  readonly perClass: boolean;
  /** Whether the function alone gives the scores, but for bounds that keep them finite. */
  readonly exact: boolean;
}

const makeSoftmaxEnding = (logits: Value, kind: Ending['kind'] = 'probabilities'): Ending => ({
  kind,
  link: 'Softmax',
  logits,
  perClass: false,
  exact: true,
});

const makeSigmoidEnding = (logits: Value, kind: Ending['kind'] = 'probabilities'): Ending => ({
  kind,
  link: 'Sigmoid',
  logits,
  perClass: true,
  exact: true,
});

/** The value in front of a subtraction of its own largest element, which changes no softmax. */
function skipShift(walk: BackwardWalk, value: Value): Value {
  const base = walk.skipLayout(value);
  const node = walk.findProducer(base);
  const [shifted, shift] = node?.inputs ?? [];
  if (node?.op !== 'Sub' || !shifted || !shift) return value;
  return walk.isSame(walk.findReduced(shift, ['ReduceMax', 'ReduceMean']), shifted) ? shifted : value;
}

const findOperatorInput = (walk: BackwardWalk, value: Value | undefined, op: string): Value | undefined => {
  const node = value && walk.findProducer(walk.skipLayout(value));
  return node?.op === op ? node.inputs[0] : undefined;
};

function readSoftmaxEnding(walk: BackwardWalk, node: Node): Ending | undefined {
  const op = node.op === 'Softmax' ? 'Softmax' : 'LogSoftmax';
  const [input] = node.inputs;
  if (!input || walk.columns < 2) return undefined;
  const { axis } = readAttributes(op, node);
  const dims = input.type?.dims;
  if (dims && dims[axis < 0 ? axis + dims.length : axis] !== walk.columns) return undefined;
  return makeSoftmaxEnding(skipShift(walk, input), op === 'Softmax' ? 'probabilities' : 'log-probabilities');
}

/** Probabilities that are divided by their sum, and exponentials that are: a softmax. */
function readNormalizedEnding(walk: BackwardWalk, value: Value): Ending | undefined {
  const inner = findEnding(walk, value);
  if (inner?.kind === 'probabilities') return { ...inner, perClass: false, exact: inner.exact && !inner.perClass };
  const exponent = findOperatorInput(walk, walk.skipBounds(value), 'Exp');
  return exponent && makeSoftmaxEnding(skipShift(walk, exponent));
}

/** z of 1 + exp(−z). */
function findSigmoidLogits(walk: BackwardWalk, value: Value | undefined): Value | undefined {
  const node = value && walk.findProducer(walk.skipLayout(value));
  const pair = node?.op === 'Add' ? walk.findConstantOperand(node) : undefined;
  const exponent = pair?.constant === 1 ? findOperatorInput(walk, pair.value, 'Exp') : undefined;
  return findOperatorInput(walk, exponent, 'Neg');
}

function readDivisionEnding(walk: BackwardWalk, { inputs }: Node): Ending | undefined {
  const [numerator, denominator] = inputs;
  if (!numerator || !denominator) return undefined;
  if (walk.readConstant(numerator) === 1) {
    const logits = findSigmoidLogits(walk, denominator);
    return logits && makeSigmoidEnding(logits);
  }
  const summed = walk.findReduced(denominator, ['ReduceSum', 'ReduceL1']);
  return walk.isSame(summed && walk.skipBounds(summed), walk.skipBounds(numerator))
    ? readNormalizedEnding(walk, numerator)
    : undefined;
}

function readProductEnding(walk: BackwardWalk, { inputs }: Node): Ending | undefined {
  for (const [value, factor] of [inputs, inputs.toReversed()]) {
    const sum = value && findOperatorInput(walk, factor, 'Reciprocal');
    const summed = sum && walk.findReduced(sum, ['ReduceSum', 'ReduceL1']);
    if (value && walk.isSame(summed && walk.skipBounds(summed), walk.skipBounds(value)))
      return readNormalizedEnding(walk, value);
  }
  return undefined;
}

/** The value of which something is the logarithm of the sum of exponentials. */
function findLogSumExp(walk: BackwardWalk, value: Value): Value | undefined {
  const direct = walk.findReduced(value, ['ReduceLogSumExp']);
  if (direct) return direct;
  const logged = findOperatorInput(walk, value, 'Log');
  const summed = logged ? walk.findReduced(logged, ['ReduceSum']) : walk.findReduced(value, ['ReduceLogSum']);
  return findOperatorInput(walk, summed, 'Exp');
}

/** x − log Σ exp(x), where the largest element may be taken out of the exponentials and added again. */
function readDifferenceEnding(walk: BackwardWalk, { inputs }: Node): Ending | undefined {
  const [x, term] = inputs;
  if (!x || !term) return undefined;
  const logSoftmax = (logits: Value) => makeSoftmaxEnding(skipShift(walk, logits), 'log-probabilities');
  if (walk.isSame(findLogSumExp(walk, term), x)) return logSoftmax(x);
  const sum = walk.findProducer(walk.skipLayout(term));
  if (sum?.op !== 'Add') return undefined;
  for (const part of sum.inputs) {
    const shifted = part && findLogSumExp(walk, part);
    const whole = shifted && skipShift(walk, shifted);
    if (whole && whole !== shifted && walk.isSame(whole, x)) return logSoftmax(x);
  }
  return undefined;
}

function readClipEnding(walk: BackwardWalk, node: Node, value: Value): Ending | undefined {
  const inside = walk.skipBounds(value);
  const inner = inside === value ? undefined : findEnding(walk, inside);
  if (inner) return inner;
  const [input, low, high] = node.inputs;
  if (node.op !== 'Clip' || !input || walk.readConstant(low) !== 0 || walk.readConstant(high) !== 1) return undefined;
  return { kind: 'probabilities', link: 'Clip', logits: input, perClass: true, exact: false };
}

const endingReaders: Readonly<Record<string, (walk: BackwardWalk, node: Node, value: Value) => Ending | undefined>> = {
  Softmax: readSoftmaxEnding,
  LogSoftmax: readSoftmaxEnding,
  Sigmoid: (_, { inputs: [z] }) => z && makeSigmoidEnding(z),
  HardSigmoid: (_, { inputs: [z] }) =>
    z && { kind: 'probabilities', link: 'HardSigmoid', logits: z, perClass: true, exact: false },
  Neg(walk, { inputs: [value] }) {
    const logits = findOperatorInput(walk, findOperatorInput(walk, value, 'Softplus'), 'Neg');
    return logits && makeSigmoidEnding(logits, 'log-probabilities');
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
    const logits = findSigmoidLogits(walk, value);
    return logits && makeSigmoidEnding(logits);
  },
  Div: readDivisionEnding,
  Mul: readProductEnding,
  Sub: (walk, node, value) => readDifferenceEnding(walk, node) ?? readClipEnding(walk, node, value),
  Add: readClipEnding,
  Clip: readClipEnding,
  Max: readClipEnding,
  Min: readClipEnding,
};

/** Finds how a value of one element for each class follows from logits; `undefined` where it does not. */
export function findEnding(walk: BackwardWalk, value: Value): Ending | undefined {
  const base = walk.skipLayout(value);
  const node = walk.findProducer(base);
  return node && endingReaders[node.op]?.(walk, node, base);
}
