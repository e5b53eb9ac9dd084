/*
 * Scores as nodes of a graph: class scores to explain, log-probabilities and the cross entropy of a loss.
 * For one column y there are two classes: −y and y for logits, 1 − p and p for probabilities.
 */
import type { Value } from '../../graph/model.js';
import type { GraphBuilder } from '../builder.js';
import type { OutputKind, Scores } from './scores.js';

/** Keeps the logarithm of a probability that was rounded to 0 finite. */
export const LEAST_PROBABILITY = 1e-30;

/** Which numbers a map explains: the logits, or the model's own output. */
export type ScoreChoice = 'logits' | 'output';

/** The value of a graph that is explained, and what it holds. */
export interface ExplainedScores {
  readonly value: Value;
  readonly kind: OutputKind;
  /** Whether log-probabilities are computed from the value. */
  readonly takesLogSoftmax: boolean;
}

/**
 * Chooses what is explained. Default: the logits of a model that ends with a softmax or sigmoid, whose probabilities leave
 * no gradient where they are near 0 and 1; the log-probabilities of one that ends with a log-softmax; otherwise the output.
 */
export function chooseExplainedScores(scores: Scores, choice?: ScoreChoice): ExplainedScores {
  const { logits, kind, labels, source, output } = scores;
  const asIs = (value: Value, of: OutputKind): ExplainedScores => ({ value, kind: of, takesLogSoftmax: false });
  if (labels === 'none' || kind === 'logits') return asIs(source.value, 'logits');
  if (!logits) return asIs(source.value, kind);
  if (choice === 'logits') return asIs(logits, 'logits');
  if (kind === 'log-probabilities' && labels === 'single-label') {
    return source.kind === 'logits'
      ? { value: source.value, kind: 'log-probabilities', takesLogSoftmax: true }
      : asIs(source.value, kind);
  }
  return choice === 'output' ? asIs(output, kind) : asIs(logits, 'logits');
}

/** Adds a value of one element for each column as `[N, columns]` float32. */
export function appendColumns(b: GraphBuilder, value: Value): Value {
  const dims = value.type?.dims;
  const flat =
    dims?.length === 2 && typeof dims[1] === 'number' && dims[0] !== undefined
      ? value
      : dims?.length === 1
        ? b.op('Unsqueeze', [value, b.ints([1])])
        : b.op('Flatten', [value], { axis: 1 });
  return value.type?.dtype === 'float32' ? flat : b.op('Cast', [flat], { to: 1 });
}

const appendNegation = (b: GraphBuilder, value: Value): Value => b.op('Neg', [value]);
const appendComplement = (b: GraphBuilder, value: Value): Value => b.op('Sub', [b.scalar(1), value]);
const appendPair = (b: GraphBuilder, no: Value, yes: Value): Value => b.op('Concat', [no, yes], { axis: 1 });
const appendLogarithm = (b: GraphBuilder, p: Value): Value =>
  b.op('Log', [b.op('Max', [p, b.scalar(LEAST_PROBABILITY)])]);

/**
 * Adds the scores `[N, classes]` of which one is explained.
 *
 * @param mapValue maps a value of the graph that `scores` describes to the graph that is being built.
 */
export function appendClassScores(
  b: GraphBuilder,
  mapValue: (value: Value) => Value,
  scores: Scores,
  choice?: ScoreChoice,
): Value {
  const { value, kind, takesLogSoftmax } = chooseExplainedScores(scores, choice);
  const raw = appendColumns(b, mapValue(value));
  const columns = takesLogSoftmax ? b.op('LogSoftmax', [raw], { axis: 1 }) : raw;
  if (scores.labels !== 'binary') return columns;
  if (kind === 'logits') return appendPair(b, appendNegation(b, columns), columns);
  if (kind === 'probabilities') return appendPair(b, appendComplement(b, columns), columns);
  return appendPair(b, appendLogarithm(b, appendComplement(b, b.op('Exp', [columns]))), columns);
}

/** Log-probabilities of the classes in a graph. */
export interface LogProbabilities {
  /** `[N, classes]` */
  readonly yes: Value;
  /** log(1 − p) of each class, where every class has a probability of its own. */
  readonly no?: Value;
}

/** Adds log-probabilities of what a classifier gives. `of` as for `appendClassScores`. */
export function appendLogProbabilities(
  b: GraphBuilder,
  mapValue: (value: Value) => Value,
  scores: Scores,
): LogProbabilities {
  const { labels, source } = scores;
  const columns = appendColumns(b, mapValue(source.value));
  if (source.kind === 'logits' && labels === 'single-label') return { yes: b.op('LogSoftmax', [columns], { axis: 1 }) };
  if (source.kind === 'log-probabilities' && labels === 'single-label') return { yes: columns };
  if (source.kind === 'probabilities' && labels === 'single-label') return { yes: appendLogarithm(b, columns) };
  const [no, yes] =
    source.kind === 'logits'
      ? [columns, appendNegation(b, columns)].map((z) => appendNegation(b, b.op('Softplus', [z])))
      : source.kind === 'probabilities'
        ? [appendLogarithm(b, appendComplement(b, columns)), appendLogarithm(b, columns)]
        : [appendLogarithm(b, appendComplement(b, b.op('Exp', [columns]))), columns];
  if (!no || !yes) throw new Error('unreachable: a class is right or wrong');
  return labels === 'binary' ? { yes: appendPair(b, no, yes) } : { yes, no };
}

/**
 * Adds the cross entropy of a batch, summed over images: −Σ t log p, and for classes of their own also −Σ (1 − t) log(1 − p).
 *
 * @param target `[N, classes]`
 */
export function appendCrossEntropy(b: GraphBuilder, { yes, no }: LogProbabilities, target: Value): Value {
  const right = b.op('Mul', [yes, target]);
  const all = no ? b.op('Add', [right, b.op('Mul', [no, appendComplement(b, target)])]) : right;
  return b.op('Neg', [b.op('ReduceSum', [all], { keepdims: 0 })]);
}
