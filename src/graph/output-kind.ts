import type { Graph } from './model.js';
import { usesOf } from './uses.js';

/** What a classifier's scores are. */
export type OutputKind = 'log-probabilities' | 'probabilities' | 'logits';

/** Operators that pass scores on unchanged. */
const transparent = new Set(['Identity', 'Flatten', 'Reshape', 'Squeeze', 'Dropout', 'Cast']);

/** What the first output of a classifier holds, told from the operator that computes it. */
export function outputKind(graph: Graph): OutputKind {
  const uses = usesOf(graph);
  let value = graph.outputs[0];
  let node = value && uses.producer(value);
  while (node && transparent.has(node.op)) {
    value = node.inputs[0];
    node = value && uses.producer(value);
  }
  if (node?.op === 'LogSoftmax') return 'log-probabilities';
  return node?.op === 'Softmax' ? 'probabilities' : 'logits';
}
