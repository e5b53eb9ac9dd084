/**
 * ONNX Runtime does not run nodes as a file lists them: it walks back from the nodes that nothing reads, the last one
 * first, and runs each node when everything that it reads has run. Left to that, a training step computes the input
 * gradients of all layers before the weight gradients of any, and holds everything that these need until then: VGG16,
 * batch 32, takes 1.4 times the memory.
 */
import type { Graph, Node } from '../graph/model.js';
import { sortTopologically } from '../graph/order.js';
import { findUses } from '../graph/uses.js';

/**
 * The graph with its nodes listed so that a runtime that walks back from the last leaf runs them nearly in the order in
 * which they are listed now: the leaf that comes first now comes last, each right after what only it needs.
 */
export function orderForRuntime(graph: Graph): Graph {
  const position = new Map(graph.nodes.map((node, index) => [node, index]));
  const { producer, consumers } = findUses(graph);
  // An Identity that only names an output is optimised away: what it reads is the leaf.
  const source = (leaf: Node): Node => {
    const [named] = leaf.op === 'Identity' ? leaf.inputs : [];
    const before = named && producer(named);
    return before ? source(before) : leaf;
  };
  const at = (leaf: Node) => position.get(source(leaf)) ?? 0;
  const isLeaf = ({ outputs }: Node) => outputs.every((output) => !output || consumers(output).length === 0);
  const leaves = graph.nodes.filter(isLeaf).sort((a, b) => at(b) - at(a));
  return { ...graph, nodes: sortTopologically({ ...graph, nodes: [...leaves, ...graph.nodes] }) };
}
