import type { Graph, Value } from '../graph/model.js';
import { findUses } from '../graph/uses.js';
import type { Tensor } from '../tensor/tensor.js';

/** What a folding pass did to one node, or why it left it alone. */
export interface FoldNote {
  /** Name of the node. */
  readonly node: string;
  readonly folded: boolean;
  readonly text: string;
}

/** A graph that computes the same, and what was done. The same graph, by identity, when nothing was. */
export interface FoldResult {
  readonly graph: Graph;
  readonly notes: readonly FoldNote[];
}

/** The float32 tensor of an initializer that one node alone reads: what a pass may change. */
export function findOwnTensor(graph: Graph, value: Value | undefined): Tensor<'float32'> | undefined {
  const data = value && graph.initializers.get(value);
  if (data?.dtype !== 'float32' || !value || graph.outputs.includes(value)) return undefined;
  let uses = 0;
  for (const node of graph.nodes) for (const input of node.inputs) if (input === value) uses++;
  return uses === 1 && findUses(graph).consumers(value).length === 1 ? data : undefined;
}
