/**
 * ONNX Runtime does not run nodes as a file lists them: it walks back from the nodes that nothing reads, the last one
 * first, and runs each node when everything that it reads has run. Left to that, a training step computes the input
 * gradients of all layers before the weight gradients of any, and holds everything that these need until then: VGG16,
 * batch 32, takes 1.4 times the memory.
 */
import { readsOf } from '../graph/captured.js';
import type { Graph, Node, Value } from '../graph/model.js';

/**
 * The graph with its nodes listed so that a runtime that walks back from the last leaf runs them nearly in the order in
 * which they are listed now: the leaf that comes first now comes last, each right after what only it needs.
 */
export function inRuntimeOrder(graph: Graph): Graph {
  const position = new Map(graph.nodes.map((node, index) => [node, index]));
  const maker = new Map<Value, Node>();
  for (const node of graph.nodes) for (const output of node.outputs) if (output) maker.set(output, node);
  const reads = new Map(
    graph.nodes.map((node) => [node, [...readsOf(node)].flatMap((value) => maker.get(value) ?? [])] as const),
  );
  const read = new Set([...reads.values()].flat());
  const at = (node: Node) => position.get(node) ?? 0;
  // An Identity that only names an output is optimised away: what it reads is the leaf.
  const source = (leaf: Node): Node => {
    const [before] = leaf.op === 'Identity' ? (reads.get(leaf) ?? []) : [];
    return before ? source(before) : leaf;
  };
  const leaves = graph.nodes.filter((node) => !read.has(node)).sort((a, b) => at(source(b)) - at(source(a)));

  const nodes: Node[] = [];
  const seen = new Set<Node>();
  for (const leaf of leaves) {
    const open = [leaf];
    for (let node = open.at(-1); node; node = open.at(-1)) {
      const missing = (reads.get(node) ?? []).filter((before) => !seen.has(before)).sort((a, b) => at(a) - at(b));
      const [first] = missing;
      if (first) {
        open.push(first);
        continue;
      }
      open.pop();
      if (seen.has(node)) continue;
      seen.add(node);
      nodes.push(node);
    }
  }
  return { ...graph, nodes };
}
