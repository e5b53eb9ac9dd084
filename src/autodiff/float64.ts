import { ShiboriError } from '../errors.js';
import { findDtype, getElementTypeNumber } from '../graph/element-types.js';
import type { Attribute, Graph, Node, Value } from '../graph/model.js';
import { GraphBuilder } from '../ops/builder.js';
import { type Tensor, tensor } from '../tensor/tensor.js';

/** A float32 tensor as float64, without loss; other types as they are. */
export function toFloat64(source: Tensor): Tensor {
  return source.dtype === 'float32' ? tensor('float64', source.dims, Float64Array.from(source.data)) : source;
}

/** Attributes of a node with float32 element types and constants replaced. */
function widenAttributes(node: Node): Node['attributes'] {
  const widened: Record<string, Attribute> = {};
  for (const [name, attribute] of Object.entries(node.attributes)) {
    if (attribute.type === 'tensor') widened[name] = { type: 'tensor', value: toFloat64(attribute.value) };
    else if (
      node.op === 'Cast' &&
      name === 'to' &&
      attribute.type === 'int' &&
      findDtype(attribute.value) === 'float32'
    )
      widened[name] = { type: 'int', value: getElementTypeNumber('float64') };
    else widened[name] = attribute;
  }
  return widened;
}

/** The graph with every float32 value as float64: what finite differences need, which float32 would drown in rounding. */
export function widenToFloat64(graph: Graph): { readonly graph: Graph; readonly of: (old: Value) => Value } {
  const builder = new GraphBuilder();
  const moved = new Map<Value, Value>();
  const of = (old: Value): Value => {
    const value = moved.get(old);
    if (value) return value;
    throw new ShiboriError(`"${old.name}" is not a value of graph "${graph.name}".`, { code: 'no-gradient' });
  };
  for (const input of graph.inputs) {
    if (!input.type) throw new ShiboriError(`Input "${input.name}" has no declared type.`, { code: 'no-gradient' });
    const dtype = input.type.dtype === 'float32' ? 'float64' : input.type.dtype;
    moved.set(input, builder.input(input.name, dtype, input.type.dims));
  }
  for (const [value, data] of graph.initializers) moved.set(value, builder.initializer(value.name, toFloat64(data)));
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((input) => input && of(input));
    const outputs = builder.copy({ ...node, attributes: widenAttributes(node) }, inputs);
    for (const [i, output] of node.outputs.entries()) {
      const value = outputs[i];
      if (output && value) moved.set(output, value);
    }
  }
  for (const output of graph.outputs) builder.output(of(output));
  return { graph: builder.build(graph.name), of };
}
