import type { Graph, Model } from '../../src/graph/model.js';
import { upgradeOpset } from '../../src/passes/upgrade-opset.js';

/** Returns a model's graph in operator set 18. */
export function upgraded({ graph, opset }: Model, file: string): Graph {
  return upgradeOpset(graph, { opset, file }).graph;
}
