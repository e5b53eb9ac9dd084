import { dtypeOf, elementTypeOf } from '../graph/element-types.js';
import { type Attribute, type Graph, type Node, Value } from '../graph/model.js';
import type { DType } from '../tensor/dtype.js';
import { toFloat32 } from '../tensor/float16.js';
import type { Tensor } from '../tensor/tensor.js';

const isHalf = (dtype: DType | undefined): boolean => dtype === 'float16' || dtype === 'bfloat16';

/** The attributes that name an element type, by operator. */
const typeAttributes: Readonly<Record<string, string>> = { Cast: 'to', EyeLike: 'dtype' };

/** A graph and what was done to it, in sentences. */
export interface Noted {
  readonly graph: Graph;
  readonly notes: readonly string[];
}

/**
 * A float16 or bfloat16 graph in float32: initializers, inputs, outputs, constants and casts. Half precision saves
 * memory on accelerators; a CPU has no kernels for most of it, and nothing is trained in it. Every value stays what it
 * was, to the bit. A graph without half precision is returned as it is, without notes.
 */
export function widenHalf(graph: Graph): Noted {
  const widening = new Widening();
  const widened = widening.graph(graph);
  if (widening.tensors === 0 && widening.values === 0) return { graph, notes: [] };
  return {
    graph: widened,
    notes: [`It is stored in half precision (${widening.tensors} tensors); it is computed and saved in float32.`],
  };
}

class Widening {
  tensors = 0;
  values = 0;
  readonly #moved = new Map<Value, Value>();

  graph(graph: Graph): Graph {
    const initializers = new Map<Value, Tensor>();
    for (const [value, tensor] of graph.initializers) initializers.set(this.#value(value), this.#tensor(tensor));
    return {
      name: graph.name,
      inputs: graph.inputs.map((value) => this.#value(value)),
      outputs: graph.outputs.map((value) => this.#value(value)),
      nodes: graph.nodes.map((node) => this.#node(node)),
      initializers,
    };
  }

  #value(value: Value): Value {
    const known = this.#moved.get(value);
    if (known) return known;
    let own = value;
    if (value.type && isHalf(value.type.dtype)) {
      own = new Value(value.name, { dtype: 'float32', dims: value.type.dims });
      this.values++;
    }
    this.#moved.set(value, own);
    return own;
  }

  #tensor(tensor: Tensor): Tensor {
    if (!isHalf(tensor.dtype)) return tensor;
    this.tensors++;
    return toFloat32(tensor);
  }

  #node(node: Node): Node {
    const attributes: Record<string, Attribute> = {};
    for (const [name, attribute] of Object.entries(node.attributes)) {
      attributes[name] = this.#attribute(attribute, typeAttributes[node.op] === name);
    }
    return {
      ...node,
      attributes,
      inputs: node.inputs.map((value) => value && this.#value(value)),
      outputs: node.outputs.map((value) => value && this.#value(value)),
    };
  }

  #attribute(attribute: Attribute, namesType: boolean): Attribute {
    if (attribute.type === 'tensor') return { type: 'tensor', value: this.#tensor(attribute.value) };
    if (attribute.type === 'graph') return { type: 'graph', value: this.graph(attribute.value) };
    return namesType && attribute.type === 'int' && isHalf(dtypeOf(attribute.value))
      ? { type: 'int', value: elementTypeOf('float32') }
      : attribute;
  }
}
