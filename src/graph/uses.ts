import type { Graph, Node, Value } from './model.js';
import { listReads } from './reads.js';

/** The use-def links of a graph. */
export interface Uses {
  /** The node that computes a value; `undefined` for inputs and initializers. */
  producer(value: Value): Node | undefined;
  /** The nodes that read a value, themselves or by a graph inside of them, in graph order. */
  consumers(value: Value): readonly Node[];
}

const known = new WeakMap<Graph, Uses>();

/** Indexes which node computes each value and which nodes read it: once for a graph, which is immutable. */
export function findUses(graph: Graph): Uses {
  const found = known.get(graph) ?? indexUses(graph);
  known.set(graph, found);
  return found;
}

function indexUses(graph: Graph): Uses {
  const producers = new Map<Value, Node>();
  const consumers = new Map<Value, Node[]>();
  for (const node of graph.nodes) {
    for (const output of node.outputs) if (output) producers.set(output, node);
    for (const value of listReads(node)) {
      const list = consumers.get(value);
      if (list) list.push(node);
      else consumers.set(value, [node]);
    }
  }
  return {
    producer: (value) => producers.get(value),
    consumers: (value) => consumers.get(value) ?? [],
  };
}

/** The values that depend on any of `sources` (the sources included). */
export function findReachable(graph: Graph, sources: Iterable<Value>): Set<Value> {
  const reached = new Set<Value>(sources);
  for (const node of graph.nodes) {
    if (![...listReads(node)].some((value) => reached.has(value))) continue;
    for (const output of node.outputs) if (output) reached.add(output);
  }
  return reached;
}

/** The nodes that `targets` depend on, in graph order: everything else is dead code for them. */
export function listNodesFor(graph: Graph, targets: Iterable<Value>, stopAt: ReadonlySet<Value> = new Set()): Node[] {
  const needed = new Set<Value>(targets);
  const kept: Node[] = [];
  for (let i = graph.nodes.length - 1; i >= 0; i--) {
    const node = graph.nodes[i];
    if (!node?.outputs.some((output) => output && needed.has(output) && !stopAt.has(output))) continue;
    kept.push(node);
    for (const value of listReads(node)) needed.add(value);
  }
  return kept.reverse();
}
