import { ShiboriError } from '../errors.js';
import type { Graph, Node, Value } from './model.js';

/**
 * The nodes in topological order (a stable sort: nodes already in order stay where they are).
 *
 * @throws ShiboriError naming a node on a cycle, or a node that reads a value nobody makes.
 */
export function topologicalOrder(graph: Graph): Node[] {
  const available = new Set<Value>([...graph.inputs, ...graph.initializers.keys()]);
  const produced = new Set<Value>();
  for (const node of graph.nodes) for (const output of node.outputs) if (output) produced.add(output);
  const order: Node[] = [];
  let waiting = [...graph.nodes];
  while (waiting.length > 0) {
    const next: Node[] = [];
    for (const node of waiting) {
      const missing = node.inputs.find((input) => input && !available.has(input));
      if (missing === undefined) {
        order.push(node);
        for (const output of node.outputs) if (output) available.add(output);
      } else if (!produced.has(missing)) {
        throw new ShiboriError(
          `Node "${node.name}" (${node.op}) reads "${missing.name}", which no node, input or initializer makes. The file is damaged or was cut from a larger graph.`,
        );
      } else next.push(node);
    }
    if (next.length === waiting.length) {
      throw new ShiboriError(
        `The graph has a cycle: node "${next[0]?.name}" (${next[0]?.op}) waits for its own result. ONNX graphs must be acyclic.`,
      );
    }
    waiting = next;
  }
  return order;
}
