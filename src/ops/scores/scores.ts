/*
 * What the scores of a classifier are: the one place that says so, for gradients, probabilities, losses and warnings.
 */
import { ShiboriError } from '../../errors.js';
import { formatDims } from '../../graph/dims.js';
import type { Graph, Value } from '../../graph/model.js';
import { isFloat } from '../../tensor/dtype.js';
import { BackwardWalk } from './backward-walk.js';
import { type Ending, findEnding } from './ending.js';
import { findProbabilities } from './range.js';

/** What the numbers of an output are. */
export type OutputKind = 'logits' | 'probabilities' | 'log-probabilities';

/**
 * How the classes belong together: `single-label`, one of them is right (softmax); `binary`, one column tells two
 * classes apart (`[N, 1]`); `multi-label`, each is right or wrong by itself (sigmoid). `none`: a regression.
 */
export type LabelKind = 'single-label' | 'binary' | 'multi-label' | 'none';

/** What a model is for. A graph cannot tell a regression from a classifier of two classes. */
export type Task = 'classification' | 'regression';

/** What the scores of a model are. */
export interface Scores {
  /** The output that holds them. */
  readonly output: Value;
  /** Elements of an image's scores. */
  readonly columns: number;
  /** Classes: 2 for one column; the columns of a regression. */
  readonly classes: number;
  readonly kind: OutputKind;
  readonly labels: LabelKind;
  /** The function that ends the model, by its ONNX operator; `undefined` where its output are logits. */
  readonly link: Ending['link'] | undefined;
  /** The logits: one element for each column, in any layout; `undefined` for probabilities that show none. */
  readonly logits: Value | undefined;
  /** The value that probabilities are computed from without loss of digits, and what it holds. */
  readonly source: { readonly value: Value; readonly kind: OutputKind };
}

/** What follows from scores of these kinds alone. */
export type ScoreKinds = { readonly kind: OutputKind; readonly labels: LabelKind };

/**
 * Elements of an image's scores in a value: `[N, K]`, with axes of size 1 at any place, or `[N]`; `undefined` for a value
 * that can hold none.
 */
export function countColumns(graph: Graph, { type }: Value): number | undefined {
  if (!type || !isFloat(type.dtype)) return undefined;
  const [first, ...rest] = type.dims;
  if (first === undefined) return undefined;
  if (rest.length === 0) {
    const batch = graph.inputs[0]?.type?.dims[0];
    return first === batch || typeof first === 'string' ? 1 : undefined;
  }
  const sizes = rest.map(Number);
  if (sizes.some((size) => !(size > 0)) || sizes.filter((size) => size !== 1).length > 1) return undefined;
  return sizes.reduce((product, size) => product * size, 1);
}

/** Describes what one output of a graph holds, which must have so many columns. */
export function describeOutput(graph: Graph, output: Value, columns: number, task: Task): Scores {
  const walk = new BackwardWalk(graph, columns, output.type?.dims[0]);
  const plain = walk.skipLayout(output);
  // Where the very last node changes the element type, the numbers in front of it are the same.
  const unchanged = output.type?.dtype === 'float32' || plain.type?.dtype !== 'float32' ? output : plain;
  const asIs = { output, columns, link: undefined, logits: unchanged } as const;
  if (task === 'regression') {
    return { ...asIs, classes: columns, kind: 'logits', labels: 'none', source: { value: unchanged, kind: 'logits' } };
  }
  const classes = columns === 1 ? 2 : columns;
  const getLabelKind = (each: boolean): LabelKind => (columns === 1 ? 'binary' : each ? 'multi-label' : 'single-label');
  const ending = findEnding(walk, output);
  if (ending) {
    const { kind, link, logits, perClass: each, exact } = ending;
    const labels = getLabelKind(each);
    // A LogSoftmax loses nothing; its output is taken as it is.
    const isLogSoftmax = walk.findProducer(plain)?.op === 'LogSoftmax' && labels === 'single-label';
    const source =
      exact && !isLogSoftmax ? ({ value: logits, kind: 'logits' } as const) : ({ value: unchanged, kind } as const);
    return { output, columns, classes, kind, labels, link, logits, source };
  }
  const found = findProbabilities(walk, output);
  if (found) {
    const labels = getLabelKind(!found.sumToOne);
    const source = { value: unchanged, kind: 'probabilities' } as const;
    return { ...asIs, classes, kind: 'probabilities', labels, logits: undefined, source };
  }
  return {
    ...asIs,
    classes,
    kind: 'logits',
    labels: getLabelKind(false),
    source: { value: unchanged, kind: 'logits' },
  };
}

/**
 * Describes the scores of a graph: its first output that can hold any. Opened models have theirs first, see
 * `withScoresFirst`.
 *
 * @param options.task a graph cannot tell a regression; default: `classification`.
 * @returns `undefined` where no output can hold scores.
 */
export function describeScores(graph: Graph, options: { readonly task?: Task | undefined } = {}): Scores | undefined {
  for (const output of graph.outputs) {
    const columns = countColumns(graph, output);
    if (columns !== undefined) return describeOutput(graph, output, columns, options.task ?? 'classification');
  }
  return undefined;
}

/**
 * Describes the scores of a classifier, as `describeScores` does.
 *
 * @throws ShiboriError when no output can hold scores.
 */
export function findScores(graph: Graph, options: { readonly task?: Task | undefined } = {}): Scores {
  const scores = describeScores(graph, options);
  if (scores) return scores;
  const found = graph.outputs.map(({ name, type }) => `"${name}" ${formatDims(type?.dims)}`);
  throw new ShiboriError(`The model is no classifier: it gives ${found.join(', ')}, none of which is [N, classes].`, {
    code: 'invalid-graph',
  });
}
