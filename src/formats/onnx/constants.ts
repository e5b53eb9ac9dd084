import type { Attribute, Graph, Node } from '../../graph/model.js';
import { float32, type Tensor, tensor } from '../../tensor/tensor.js';

/**
 * The graph with the results of its `Constant` nodes as initializers; their values stay the same ones. Constants that
 * a tensor cannot hold (strings) stay nodes. Graphs inside of nodes are left alone.
 */
export function constantsToInitializers(graph: Graph): Graph {
  const initializers = new Map(graph.initializers);
  const nodes = graph.nodes.filter((node) => {
    const [output] = node.outputs;
    const data = output && constantOf(node);
    if (data) initializers.set(output, data);
    return data === undefined;
  });
  return { ...graph, nodes, initializers };
}

/** The tensor that a `Constant` node makes, or `undefined` for any other node and for what no tensor holds (strings). */
export function constantOf(node: Node): Tensor | undefined {
  if (node.op !== 'Constant' || node.domain !== '') return undefined;
  const attribute: Attribute | undefined = Object.values(node.attributes)[0];
  switch (attribute?.type) {
    case 'tensor':
      return attribute.value;
    case 'float':
      return float32([attribute.value], []);
    case 'floats':
      return float32(attribute.value);
    case 'int':
      return tensor('int64', [], BigInt64Array.of(toInt64(attribute.value)));
    case 'ints':
      return tensor('int64', [attribute.value.length], BigInt64Array.from(attribute.value, toInt64));
    default:
      return undefined;
  }
}

/** 2^63 stands for the largest integer, as the reader has it. */
function toInt64(value: number): bigint {
  return value === 2 ** 63 ? 2n ** 63n - 1n : BigInt(value);
}
