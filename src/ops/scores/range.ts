/*
 * Whether values are probabilities where no logits are found: the interval that an expression lies in, and what its
 * elements sum up to over the classes. Averages of several softmaxes, products of sigmoids, 1 − p next to p.
 */
import type { Node, Value } from '../../graph/model.js';
import { readAttributes } from '../table.js';
import type { BackwardWalk } from './backward-walk.js';

/** Bounds of all elements; `sum` over the classes of an image, where it is known. */
interface Range {
  readonly low: number;
  readonly high: number;
  readonly sum?: number;
}

const unitRange: Range = { low: 0, high: 1 };
const positiveRange: Range = { low: 0, high: Number.POSITIVE_INFINITY };

/** Ranges of operators whatever they read. */
const fixedRanges: Readonly<Record<string, Range>> = {
  Sigmoid: unitRange,
  HardSigmoid: unitRange,
  Tanh: { low: -1, high: 1 },
  Relu: positiveRange,
  Exp: positiveRange,
  Abs: positiveRange,
  Softplus: positiveRange,
};

/** Operators whose elements are elements of their input, or means of them. */
const selectingOps = new Set(['Slice', 'Gather', 'Split', 'ReduceMax', 'ReduceMin', 'GlobalMaxPool', 'MaxPool']);
const averagingOps = new Set(['ReduceMean', 'GlobalAveragePool']);
const rearrangingOps = new Set([
  'Cast',
  'Dropout',
  'Flatten',
  'Identity',
  'Reshape',
  'Squeeze',
  'Transpose',
  'Unsqueeze',
]);

/** Expressions deeper than this are not followed. */
const MAX_RANGE_DEPTH = 24;

const addRanges = (a: Range, b: Range): Range => ({
  low: a.low + b.low,
  high: a.high + b.high,
  ...(a.sum !== undefined && b.sum !== undefined && { sum: a.sum + b.sum }),
});

const scaleRange = (a: Range, factor: number): Range => ({
  low: Math.min(a.low * factor, a.high * factor),
  high: Math.max(a.low * factor, a.high * factor),
  ...(a.sum !== undefined && { sum: a.sum * factor }),
});

function multiplyRanges(a: Range, b: Range): Range | undefined {
  return a.low >= 0 && b.low >= 0 ? { low: a.low * b.low, high: a.high * b.high } : undefined;
}

/** Whether two values are p and 1 − p. */
function areComplements(walk: BackwardWalk, a: Value | undefined, b: Value | undefined): boolean {
  const node = a && walk.findProducer(walk.skipLayout(a));
  return node?.op === 'Sub' && walk.readConstant(node.inputs[0]) === 1 && walk.isSame(node.inputs[1], b);
}

const rangeReaders: Readonly<
  Record<
    string,
    (walk: BackwardWalk, node: Node, of: (value: Value | undefined) => Range | undefined) => Range | undefined
  >
> = {
  Softmax(walk, node) {
    const dims = node.inputs[0]?.type?.dims;
    const { axis } = readAttributes('Softmax', node);
    const isClasses = dims?.[axis < 0 ? axis + dims.length : axis] === walk.columns;
    return isClasses ? { ...unitRange, sum: 1 } : unitRange;
  },
  Clip(walk, { inputs: [input, low, high] }, of) {
    const inner = of(input) ?? { low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY };
    return {
      low: Math.max(inner.low, walk.readConstant(low) ?? Number.NEGATIVE_INFINITY),
      high: Math.min(inner.high, walk.readConstant(high) ?? Number.POSITIVE_INFINITY),
    };
  },
  Add(_, { inputs: [a, b] }, of) {
    const [x, y] = [of(a), of(b)];
    return x && y && addRanges(x, y);
  },
  Sub(_, { inputs: [a, b] }, of) {
    const [x, y] = [of(a), of(b)];
    return x && y && addRanges(x, scaleRange(y, -1));
  },
  Mul(walk, node, of) {
    const scaled = walk.findConstantOperand(node);
    const inner = scaled && of(scaled.value);
    if (scaled) return inner && scaleRange(inner, scaled.constant);
    const [x, y] = node.inputs.map(of);
    return x && y && multiplyRanges(x, y);
  },
  Div(walk, { inputs: [a, b] }, of) {
    const [x, divisor] = [of(a), walk.readConstant(b)];
    if (x && divisor) return scaleRange(x, 1 / divisor);
    const summed = b && walk.findReduced(b, ['ReduceSum', 'ReduceL1']);
    return a && x && x.low >= 0 && summed && walk.isSame(walk.skipBounds(summed), walk.skipBounds(a))
      ? { ...unitRange, sum: 1 }
      : undefined;
  },
  Sum(_, { inputs }, of) {
    return inputs.map(of).reduce((sum, each) => sum && each && addRanges(sum, each));
  },
  Mean(_, { inputs }, of) {
    const sum = inputs.map(of).reduce((whole, each) => whole && each && addRanges(whole, each));
    return sum && scaleRange(sum, 1 / inputs.length);
  },
  Concat(walk, { inputs }, of) {
    const [a, b] = inputs;
    const parts = inputs.map(of);
    if (parts.some((part) => part === undefined)) return undefined;
    const low = Math.min(...parts.map((part) => part?.low ?? 0));
    const high = Math.max(...parts.map((part) => part?.high ?? 0));
    const isPair = inputs.length === 2 && (areComplements(walk, a, b) || areComplements(walk, b, a));
    return { low, high, ...(isPair && { sum: 1 }) };
  },
};

function findRange(walk: BackwardWalk, value: Value | undefined, depth: number): Range | undefined {
  const constant = walk.readConstant(value);
  if (constant !== undefined) return { low: constant, high: constant };
  const node = walk.findProducer(value);
  if (!node || depth === 0) return undefined;
  const of = (input: Value | undefined) => findRange(walk, input, depth - 1);
  const known = fixedRanges[node.op];
  if (known) return known;
  const inner = rangeReaders[node.op]?.(walk, node, of);
  if (inner || node.op in rangeReaders) return inner;
  const input =
    selectingOps.has(node.op) || averagingOps.has(node.op) || rearrangingOps.has(node.op)
      ? of(node.inputs[0])
      : undefined;
  if (!input || !selectingOps.has(node.op)) return input;
  return { low: input.low, high: input.high };
}

/** Bounds and sums of float32 probabilities are right to this much. */
const ROUNDING = 1e-4;

/**
 * Whether a value of one element for each class holds probabilities, and whether these sum up to 1 over the classes;
 * `undefined` where the graph does not show that they are.
 */
export function findProbabilities(walk: BackwardWalk, value: Value): { readonly sumToOne: boolean } | undefined {
  const range = findRange(walk, value, MAX_RANGE_DEPTH);
  if (!range || range.low < -ROUNDING || range.high > 1 + ROUNDING || range.low === range.high) return undefined;
  return { sumToOne: range.sum !== undefined && Math.abs(range.sum - 1) <= ROUNDING };
}
