import type { Graph, Node, Value } from '../graph/model.js';
import { CONSTANT_PREFIX } from '../graph/parameters.js';
import { getTensorBytes, type Tensor } from '../tensor/tensor.js';
import type { Note, PassResult } from './pass.js';
import { rewrite } from './rewrite.js';

/** Parameters below this size keep their own tensor even where another is equal: two new batch norms are all ones. */
const SMALLEST_PARAMETER = 4096;

const isEqualTensor = (a: Tensor, b: Tensor): boolean => {
  const [left, right] = [getTensorBytes(a), getTensorBytes(b)];
  return left.length === right.length && left.every((byte, i) => byte === right[i]);
};

/** Returns whether a tensor may be the same object as an equal one: constants, and weights that are large enough. */
const canMerge = (value: Value, { data }: Tensor): boolean =>
  value.name.startsWith(CONSTANT_PREFIX) || data.length >= SMALLEST_PARAMETER;

/** One initializer for each group of equal ones, and no node that nothing reads. */
export function mergeDuplicates(graph: Graph): PassResult {
  const first = new Map<string, Value[]>();
  const same = new Map<Value, Value>();
  const notes: Note[] = [];
  for (const [value, data] of graph.initializers) {
    if (!canMerge(value, data)) continue;
    const key = `${data.dtype} ${data.dims}`;
    const group = first.get(key) ?? [];
    first.set(key, group);
    const twin = group.find((other) => {
      const known = graph.initializers.get(other);
      return known && isEqualTensor(known, data);
    });
    if (!twin) group.push(value);
    else if (!graph.outputs.includes(value)) {
      same.set(value, twin);
      notes.push({ node: value.name, applied: true, text: `the same as ${twin.name}` });
    }
  }
  // What a graph inside of a node captures is read by identity and cannot be given another value here.
  const captures = (node: Node) => Object.values(node.attributes).some(({ type }) => type === 'graph');
  if (same.size === 0 || graph.nodes.some(captures)) return { graph: rewrite(graph), notes: [] };
  const nodes = graph.nodes.map((node) => ({
    ...node,
    inputs: node.inputs.map((input) => (input ? (same.get(input) ?? input) : input)),
  }));
  return { graph: rewrite({ ...graph, nodes }), notes };
}
