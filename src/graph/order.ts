import { ShiboriError } from '../errors.js';
import type { Graph, Node, Value } from './model.js';
import { listReads } from './reads.js';

/**
 * The nodes in topological order: each one follows at once on what it reads, where that did not come earlier, so nodes
 * already in order stay where they are. Linear in nodes and edges. What a graph inside of a node reads, the node reads.
 *
 * @param outer values from outside of the graph, where it lies inside of a node itself.
 * @throws ShiboriError naming a node on a cycle, or a node that reads a value that no node gives.
 */
export function sortTopologically(graph: Graph, outer: Iterable<Value> = []): Node[] {
  const available = new Set<Value>([...graph.inputs, ...graph.initializers.keys(), ...outer]);
  const producers = new Map<Value, Node>();
  for (const node of graph.nodes) for (const output of node.outputs) if (output) producers.set(output, node);
  const order: Node[] = [];
  const state = new Map<Node, 'open' | 'done'>();
  for (const start of graph.nodes) {
    // A stack of its own: a chain of nodes may be longer than JavaScript's stack is deep.
    const stack = state.has(start) ? [] : [startVisit(start)];
    for (let top = stack.at(-1); top; top = stack.at(-1)) {
      state.set(top.node, 'open');
      const { value } = top.reads.next();
      if (value === undefined) {
        stack.pop();
        order.push(top.node);
        state.set(top.node, 'done');
        continue;
      }
      const producer = producers.get(value);
      if (producer && !state.has(producer)) stack.push(startVisit(producer));
      else if (producer && state.get(producer) === 'open') {
        throw new ShiboriError(
          `The graph has a cycle: node "${producer.name}" (${producer.op}) waits for its own result. ONNX graphs must be acyclic.`,
          { code: 'invalid-graph' },
        );
      } else if (!producer && !available.has(value)) {
        throw new ShiboriError(
          `Node "${top.node.name}" (${top.node.op}) reads "${value.name}", which no node, input or initializer makes. The file is damaged or was cut from a larger graph.`,
          { code: 'invalid-graph' },
        );
      }
    }
  }
  return order;
}

function startVisit(node: Node): { readonly node: Node; readonly reads: Iterator<Value, undefined> } {
  return { node, reads: listReads(node).values() };
}
