import { findDtype, getElementTypeNumber } from '../graph/element-types.js';
import { type Attribute, type Graph, type Node, Value } from '../graph/model.js';
import { findUses } from '../graph/uses.js';
import type { DType } from '../tensor/dtype.js';
import { toFloat32 } from '../tensor/float16.js';
import type { Tensor } from '../tensor/tensor.js';
import type { PassResult } from './pass.js';
import { layerWeights } from './weights-as-initializers.js';

const halfTypes: ReadonlySet<DType> = new Set(['float16', 'bfloat16']);
const halfAndDoubleTypes: ReadonlySet<DType> = new Set(['float16', 'bfloat16', 'float64']);

/** The attributes that name an element type, by operator. */
const typeAttributes: Readonly<Record<string, string>> = { Cast: 'to', EyeLike: 'dtype' };

/** Builds the note on a graph of another precision, by that precision. */
const precisionNotes = {
  half: (tensors: number) => `It is stored in half precision (${tensors} tensors); it is computed in float32.`,
  double: (tensors: number) =>
    `It computes in float64 (${tensors} tensors); it is computed and saved in float32, each weight rounded to the nearest.`,
} as const;

/**
 * Converts a float16, bfloat16 or float64 graph to float32: initializers, inputs, outputs, constants and casts. Half
 * precision saves memory on accelerators; a CPU has no kernels for most of it, and nothing is trained in it. Half-precision
 * values stay exact. Double precision is rounded to the nearest, and only where a layer's weight is float64: a graph that
 * computes a size in float64 keeps that. Any other graph is returned unchanged, without notes.
 */
export function toSinglePrecision(graph: Graph): PassResult {
  const isDouble = hasDoubleWeights(graph);
  const conversion = new PrecisionConverter(isDouble ? halfAndDoubleTypes : halfTypes);
  const converted = conversion.convertGraph(graph);
  if (conversion.tensorCount === 0 && conversion.valueCount === 0) return { graph, notes: [] };
  const text = precisionNotes[isDouble ? 'double' : 'half'](conversion.tensorCount);
  return { graph: converted, notes: [{ applied: true, text }] };
}

/** Whether a layer reads a float64 weight: one that is not cast on its way. */
function hasDoubleWeights(graph: Graph): boolean {
  if (![...graph.initializers.values()].some(({ dtype }) => dtype === 'float64')) return false;
  const { producer } = findUses(graph);
  const left = graph.nodes.flatMap(({ op, inputs }) => (layerWeights[op] ?? []).map((i) => inputs[i]));
  const seen = new Set<Value | undefined>();
  for (const value of left) {
    if (!value || seen.has(value)) continue;
    seen.add(value);
    if (graph.initializers.get(value)?.dtype === 'float64') return true;
    const node = producer(value);
    if (node && elementMovers.has(node.op)) left.push(node.inputs[0]);
  }
  return false;
}

/** Operators whose output has the elements of their first input, in its type. */
const elementMovers: ReadonlySet<string> = new Set([
  'Identity',
  'Transpose',
  'Reshape',
  'Flatten',
  'Squeeze',
  'Unsqueeze',
]);

class PrecisionConverter {
  tensorCount = 0;
  valueCount = 0;
  readonly #moved = new Map<Value, Value>();

  constructor(readonly from: ReadonlySet<DType>) {}

  convertGraph(graph: Graph): Graph {
    const initializers = new Map<Value, Tensor>();
    for (const [value, tensor] of graph.initializers)
      initializers.set(this.#convertValue(value), this.#convertTensor(tensor));
    return {
      name: graph.name,
      inputs: graph.inputs.map((value) => this.#convertValue(value)),
      outputs: graph.outputs.map((value) => this.#convertValue(value)),
      nodes: graph.nodes.map((node) => this.#convertNode(node)),
      initializers,
    };
  }

  #convertValue(value: Value): Value {
    const known = this.#moved.get(value);
    if (known) return known;
    let own = value;
    if (value.type && this.from.has(value.type.dtype)) {
      own = new Value(value.name, { dtype: 'float32', dims: value.type.dims });
      this.valueCount++;
    }
    this.#moved.set(value, own);
    return own;
  }

  #convertTensor(tensor: Tensor): Tensor {
    if (!this.from.has(tensor.dtype)) return tensor;
    this.tensorCount++;
    return toFloat32(tensor);
  }

  #convertNode(node: Node): Node {
    const attributes: Record<string, Attribute> = {};
    for (const [name, attribute] of Object.entries(node.attributes)) {
      attributes[name] = this.#convertAttribute(attribute, typeAttributes[node.op] === name);
    }
    return {
      ...node,
      attributes,
      inputs: node.inputs.map((value) => value && this.#convertValue(value)),
      outputs: node.outputs.map((value) => value && this.#convertValue(value)),
    };
  }

  #convertAttribute(attribute: Attribute, namesType: boolean): Attribute {
    if (attribute.type === 'tensor') return { type: 'tensor', value: this.#convertTensor(attribute.value) };
    if (attribute.type === 'graph') return { type: 'graph', value: this.convertGraph(attribute.value) };
    const named = namesType && attribute.type === 'int' ? findDtype(attribute.value) : undefined;
    return named && this.from.has(named) ? { type: 'int', value: getElementTypeNumber('float32') } : attribute;
  }
}
