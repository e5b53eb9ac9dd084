import type { Graph, Node, Value } from './model.js';

/** The values that a graph inside of a node reads from outside of it. */
function listOutsideReads(graph: Graph): Set<Value> {
  const own = new Set<Value>([...graph.inputs, ...graph.initializers.keys()]);
  for (const node of graph.nodes) for (const output of node.outputs) if (output) own.add(output);
  const outside = new Set<Value>();
  for (const node of graph.nodes) for (const value of listReads(node)) if (!own.has(value)) outside.add(value);
  for (const output of graph.outputs) if (!own.has(output)) outside.add(output);
  return outside;
}

/** Every value that a node reads, once: its inputs and what the graphs among its attributes (`If`) capture. */
export function listReads(node: Node): Set<Value> {
  const reads = new Set<Value>();
  for (const input of node.inputs) if (input) reads.add(input);
  for (const attribute of Object.values(node.attributes)) {
    if (attribute.type === 'graph') for (const value of listOutsideReads(attribute.value)) reads.add(value);
  }
  return reads;
}
