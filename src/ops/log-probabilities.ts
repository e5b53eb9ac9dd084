import type { Value } from '../graph/model.js';
import type { OutputKind } from '../graph/output-kind.js';
import type { GraphBuilder } from './builder.js';
import { attributesOf } from './table.js';

/** Keeps the logarithm of a probability that was rounded to 0 finite. */
export const LEAST_PROBABILITY = 1e-30;

/** Adds log-probabilities `[N, classes]` of whatever a classifier gives. */
export function appendLogProbabilities(b: GraphBuilder, scores: Value, kind: OutputKind): Value {
  if (kind === 'log-probabilities') return scores;
  if (kind === 'logits') return b.op('LogSoftmax', [scores], { axis: 1 });
  // The logarithm of a probability that was rounded to 0 is infinite: it is taken together with the softmax.
  const softmax = b.nodes.find((node) => node.op === 'Softmax' && node.outputs[0] === scores);
  const axis = softmax && attributesOf('Softmax', softmax).axis;
  if (softmax) return b.op('LogSoftmax', softmax.inputs, axis === undefined ? {} : { axis });
  return b.op('Log', [b.op('Max', [scores, b.scalar(LEAST_PROBABILITY)])]);
}
