import { createHash } from 'node:crypto';
import type { Attribute, Graph, Model, Node, Value } from '../../src/graph/model.js';
import { getTensorBytes, type Tensor } from '../../src/tensor/tensor.js';

/**
 * A model as plain data: values become numbers in the order in which they appear, tensors the digest of their bytes.
 * Two models are the same exactly when their descriptions are equal.
 */
export function describeModel({ graph, opset, domains, metadata }: Model): unknown {
  return { opset, domains, metadata, graph: describeGraph(graph, new Map()) };
}

function describeGraph(graph: Graph, numbers: Map<Value, number>): unknown {
  const value = (item: Value | undefined): unknown => {
    if (!item) return 'left out';
    const number = numbers.get(item) ?? numbers.size;
    numbers.set(item, number);
    return { number, name: item.name, type: item.type };
  };
  const node = ({ inputs, outputs, attributes, ...rest }: Node): unknown => ({
    ...rest,
    inputs: inputs.map(value),
    attributes: Object.entries(attributes).map(([name, item]) => [name, describeAttribute(item, numbers)]),
    outputs: outputs.map(value),
  });
  return {
    name: graph.name,
    inputs: graph.inputs.map(value),
    initializers: Array.from(graph.initializers, ([item, data]) => [value(item), describeTensor(data)]),
    nodes: graph.nodes.map(node),
    outputs: graph.outputs.map(value),
  };
}

function describeAttribute(attribute: Attribute, numbers: Map<Value, number>): unknown {
  if (attribute.type === 'graph') return { type: 'graph', value: describeGraph(attribute.value, numbers) };
  if (attribute.type === 'tensor') return { type: 'tensor', value: describeTensor(attribute.value) };
  return attribute;
}

function describeTensor(data: Tensor): unknown {
  return { dtype: data.dtype, dims: data.dims, sha1: createHash('sha1').update(getTensorBytes(data)).digest('hex') };
}
