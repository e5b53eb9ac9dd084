/*
 * Whether values are probabilities where no logits are found: the interval that an expression lies in, and what its
 * elements sum up to over the classes. Averages of several softmaxes, products of sigmoids, 1 − p beside p.
 */
import type { Node, Value } from '../../graph/model.js';
import { readAttributes } from '../table.js';
import type { Walk } from './walk.js';

/** Bounds of all elements; `sum` over the classes of an image, where it is known. */
interface Range {
  readonly low: number;
  readonly high: number;
  readonly sum?: number;
}

const unit: Range = { low: 0, high: 1 };
const positive: Range = { low: 0, high: Number.POSITIVE_INFINITY };

/** Ranges of operators whatever they read. */
const fixed: Readonly<Record<string, Range>> = {
  Sigmoid: unit,
  HardSigmoid: unit,
  Tanh: { low: -1, high: 1 },
  Relu: positive,
  Exp: positive,
  Abs: positive,
  Softplus: positive,
};

/** Operators whose elements are elements of their input, or means of them. */
const chosen = new Set(['Slice', 'Gather', 'Split', 'ReduceMax', 'ReduceMin', 'GlobalMaxPool', 'MaxPool']);
const averaged = new Set(['ReduceMean', 'GlobalAveragePool']);
const layout = new Set(['Cast', 'Dropout', 'Flatten', 'Identity', 'Reshape', 'Squeeze', 'Transpose', 'Unsqueeze']);

/** Expressions deeper than this are not followed. */
const DEPTH = 24;

const plus = (a: Range, b: Range): Range => ({
  low: a.low + b.low,
  high: a.high + b.high,
  ...(a.sum !== undefined && b.sum !== undefined && { sum: a.sum + b.sum }),
});

const times = (a: Range, factor: number): Range => ({
  low: Math.min(a.low * factor, a.high * factor),
  high: Math.max(a.low * factor, a.high * factor),
  ...(a.sum !== undefined && { sum: a.sum * factor }),
});

function product(a: Range, b: Range): Range | undefined {
  return a.low >= 0 && b.low >= 0 ? { low: a.low * b.low, high: a.high * b.high } : undefined;
}

/** Whether two values are p and 1 − p. */
function areComplements(walk: Walk, a: Value | undefined, b: Value | undefined): boolean {
  const node = a && walk.producer(walk.withoutLayout(a));
  return node?.op === 'Sub' && walk.constant(node.inputs[0]) === 1 && walk.isSame(node.inputs[1], b);
}

const readers: Readonly<
  Record<string, (walk: Walk, node: Node, of: (value: Value | undefined) => Range | undefined) => Range | undefined>
> = {
  Softmax(walk, node) {
    const dims = node.inputs[0]?.type?.dims;
    const { axis } = readAttributes('Softmax', node);
    const isClasses = dims?.[axis < 0 ? axis + dims.length : axis] === walk.columns;
    return isClasses ? { ...unit, sum: 1 } : unit;
  },
  Clip(walk, { inputs: [input, low, high] }, of) {
    const inner = of(input) ?? { low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY };
    return {
      low: Math.max(inner.low, walk.constant(low) ?? Number.NEGATIVE_INFINITY),
      high: Math.min(inner.high, walk.constant(high) ?? Number.POSITIVE_INFINITY),
    };
  },
  Add(_, { inputs: [a, b] }, of) {
    const [x, y] = [of(a), of(b)];
    return x && y && plus(x, y);
  },
  Sub(_, { inputs: [a, b] }, of) {
    const [x, y] = [of(a), of(b)];
    return x && y && plus(x, times(y, -1));
  },
  Mul(walk, node, of) {
    const scaled = walk.withConstant(node);
    const inner = scaled && of(scaled.value);
    if (scaled) return inner && times(inner, scaled.constant);
    const [x, y] = node.inputs.map(of);
    return x && y && product(x, y);
  },
  Div(walk, { inputs: [a, b] }, of) {
    const [x, divisor] = [of(a), walk.constant(b)];
    if (x && divisor) return times(x, 1 / divisor);
    const summed = b && walk.reduced(b, ['ReduceSum', 'ReduceL1']);
    return a && x && x.low >= 0 && summed && walk.isSame(walk.withoutBounds(summed), walk.withoutBounds(a))
      ? { ...unit, sum: 1 }
      : undefined;
  },
  Sum(_, { inputs }, of) {
    return inputs.map(of).reduce((sum, each) => sum && each && plus(sum, each));
  },
  Mean(_, { inputs }, of) {
    const sum = inputs.map(of).reduce((whole, each) => whole && each && plus(whole, each));
    return sum && times(sum, 1 / inputs.length);
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

function findRange(walk: Walk, value: Value | undefined, depth: number): Range | undefined {
  const constant = walk.constant(value);
  if (constant !== undefined) return { low: constant, high: constant };
  const node = walk.producer(value);
  if (!node || depth === 0) return undefined;
  const of = (input: Value | undefined) => findRange(walk, input, depth - 1);
  const known = fixed[node.op];
  if (known) return known;
  const inner = readers[node.op]?.(walk, node, of);
  if (inner || node.op in readers) return inner;
  const input = chosen.has(node.op) || averaged.has(node.op) || layout.has(node.op) ? of(node.inputs[0]) : undefined;
  if (!input || !chosen.has(node.op)) return input;
  return { low: input.low, high: input.high };
}

/** Bounds and sums of float32 probabilities are right to this much. */
const ROUNDING = 1e-4;

/**
 * Whether a value of one element for each class holds probabilities, and whether these sum up to 1 over the classes;
 * `undefined` where the graph does not show that they are.
 */
export function findProbabilities(walk: Walk, value: Value): { readonly sumToOne: boolean } | undefined {
  const range = findRange(walk, value, DEPTH);
  if (!range || range.low < -ROUNDING || range.high > 1 + ROUNDING || range.low === range.high) return undefined;
  return { sumToOne: range.sum !== undefined && Math.abs(range.sum - 1) <= ROUNDING };
}
