/*
 * Files store weights as their exporter had them, and move their elements before a layer reads them: a Transpose of a
 * kernel that Keras has last, a Cast of a float64 tensor, a Reshape of a bias. The moved tensor is what a layer has.
 */
import { isStatic } from '../graph/dims.js';
import { type Graph, type Node, Value } from '../graph/model.js';
import { isParameter } from '../graph/parameters.js';
import { findUses, type Uses } from '../graph/uses.js';
import { areDimsEqual, computeStrides, normalizeAxis, range } from '../tensor/dims.js';
import type { DType } from '../tensor/dtype.js';
import { tensor as makeTensor, type Tensor } from '../tensor/tensor.js';
import type { PassResult } from './pass.js';

/** The tensor that a node makes of a stored one; `undefined` where it changes more than places and type. */
type Move = (data: Tensor, node: Node, dims: readonly number[], dtype: DType) => Tensor | undefined;

const keepElements: Move = ({ dtype, data }, _, dims) => makeTensor(dtype, dims, data);

/** The elements of a tensor with its axes in another order; `undefined` for 64-bit integers, which no weight is of. */
function transposeTensor({ dtype, dims: old, data }: Tensor, permutation: readonly number[]): Tensor | undefined {
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) return undefined;
  const dims = permutation.map((axis) => old[axis] ?? 1);
  const strides = computeStrides(old);
  const steps = permutation.map((axis) => strides[axis] ?? 1);
  const target = data.slice();
  const position = dims.map(() => 0);
  let from = 0;
  for (let to = 0; to < target.length; to++) {
    target[to] = data[from] as number;
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      const [size, step, next] = [dims[axis] as number, steps[axis] as number, (position[axis] as number) + 1];
      from += step;
      position[axis] = next < size ? next : 0;
      if (next < size) break;
      from -= step * size;
    }
  }
  return makeTensor(dtype, dims, target);
}

const weightMoves: Readonly<Record<string, Move>> = {
  Identity: keepElements,
  Reshape: keepElements,
  Flatten: keepElements,
  Squeeze: keepElements,
  Unsqueeze: keepElements,
  Transpose(data, { attributes: { perm } }) {
    const axes = perm?.type === 'ints' ? perm.value : range(data.dims.length).reverse();
    return transposeTensor(
      data,
      axes.map((axis) => normalizeAxis(axis, data.dims.length)),
    );
  },
  Cast({ dtype, data }, _, dims, to) {
    if (dtype === to) return makeTensor(dtype, dims, data);
    if (dtype === 'float64' && to === 'float32') return makeTensor(to, dims, Float32Array.from(data, Number));
    return undefined;
  },
};

/** Whether an initializer is a weight, or a quantised one. */
const isWeight = (value: Value, data: Tensor): boolean =>
  isParameter(value, data) || (data.dims.length > 1 && ['int8', 'uint8', 'int16', 'uint16'].includes(data.dtype));

/**
 * The graph with weights stored as the nodes that use them take them, under their own names: what Transpose, Reshape,
 * Squeeze, Unsqueeze, Flatten and Cast make of a weight takes its place, where all that read the weight make the same of
 * it. A weight that one layer reads as it is and another transposed stays one parameter (tied weights), and its Transpose
 * stays. An Identity of a weight is a weight of its own: PyTorch's exporter stores equal ones once.
 *
 * @param graph typed, operator set 18.
 */
export function settleWeights(graph: Graph): PassResult {
  return { graph: new WeightSettler(graph).settle(), notes: [] };
}

class WeightSettler {
  readonly #uses: Uses;
  readonly #outputs: ReadonlySet<Value>;
  readonly #tensors: Map<Value, Tensor>;
  /** The weight that the output of a moving node has become. */
  readonly #moved = new Map<Value, Value>();
  /** The nodes that read a weight made here. */
  readonly #readers = new Map<Value, Node[]>();
  /** The initializer of the file that a weight made here comes from. */
  readonly #origins = new Map<Value, Value>();

  constructor(readonly graph: Graph) {
    this.#uses = findUses(graph);
    this.#outputs = new Set(graph.outputs);
    this.#tensors = new Map(graph.initializers);
  }

  settle(): Graph {
    const { graph } = this;
    const kept: Node[] = [];
    for (const node of graph.nodes) {
      const own = this.#findWeight(node);
      const [output] = node.outputs;
      if (!own || !output) {
        kept.push(node);
        continue;
      }
      this.#moved.set(output, own);
      this.#readers.set(own, [...(this.#readers.get(own) ?? []), ...this.#uses.consumers(output)]);
    }
    if (this.#moved.size === 0) return graph;
    const current = (value: Value | undefined) => value && (this.#moved.get(value) ?? value);
    const nodes = kept.map((node) => ({ ...node, inputs: node.inputs.map(current) }));
    return { ...graph, nodes, initializers: this.#collectInitializers(nodes) };
  }

  /** The weight that a node's output is, made where that is new; `undefined` where the node stays. */
  #findWeight(node: Node): Value | undefined {
    const [input] = node.inputs;
    const [output] = node.outputs;
    const move = node.domain === '' ? weightMoves[node.op] : undefined;
    const weight = input && (this.#moved.get(input) ?? input);
    const data = weight && this.#tensors.get(weight);
    if (!move || !output?.type || !data || !isWeight(weight, data) || !isStatic(output.type.dims)) return undefined;
    const all = this.#readers.get(weight) ?? this.#uses.consumers(weight);
    if ([weight, output].some((value) => this.#outputs.has(value))) return undefined;
    const copies = node.op === 'Identity';
    if (!copies) {
      const others = all.filter(({ op }) => op !== 'Identity');
      if (!others.every((other) => this.#movesAlike(node, other))) return undefined;
      const known = others.map(({ outputs: [made] }) => made && this.#moved.get(made)).find((made) => made);
      if (known) return known;
    }
    const result = move(data, node, output.type.dims, output.type.dtype);
    if (!result) return undefined;
    const name = copies && all.length > 1 ? output.name : weight.name;
    const own = new Value(name, { dtype: result.dtype, dims: result.dims });
    this.#tensors.set(own, result);
    this.#origins.set(own, this.#origins.get(weight) ?? weight);
    return own;
  }

  /** Whether two nodes make the same of one input. What shapes and axes say shows in the output's dimensions. */
  #movesAlike(a: Node, b: Node): boolean {
    const [[one], [other]] = [a.outputs, b.outputs];
    if (a.op !== b.op || !one?.type || !other?.type || this.#outputs.has(other)) return false;
    if (one.type.dtype !== other.type.dtype || !areDimsEqual(one.type.dims, other.type.dims)) return false;
    return JSON.stringify(a.attributes) === JSON.stringify(b.attributes);
  }

  /** What the nodes read, each weight where the initializer was that it comes from. */
  #collectInitializers(nodes: readonly Node[]): Map<Value, Tensor> {
    const read = new Set<Value | undefined>([...this.#outputs, ...nodes.flatMap(({ inputs }) => inputs)]);
    const made = new Map<Value, Value[]>();
    for (const [own, origin] of this.#origins) made.set(origin, [...(made.get(origin) ?? []), own]);
    const initializers = new Map<Value, Tensor>();
    for (const value of this.graph.initializers.keys()) {
      for (const each of [value, ...(made.get(value) ?? [])]) {
        const data = this.#tensors.get(each);
        if (data && read.has(each)) initializers.set(each, data);
      }
    }
    return initializers;
  }
}
