/*
 * Which tensors of a file are its weights. A *parameter* is a floating-point tensor with at least one axis that
 *   - the file stores as an initializer, unless only settings read it (scales of a Resize, bounds of a Clip, …), or
 *   - the file stores as a Constant node and that reaches the weight of a layer, directly or through nodes that compute
 *     from constants alone (Cast, Transpose, Reshape, DequantizeLinear, …).
 * Weights of layers are the inputs that `layerWeights` lists, and what is added to, multiplied with or joined to values
 * that layers compute (a bias after MatMul, a layer scale, a position embedding, a class token). Shapes, axes and
 * other integers are never parameters, nor are scalars.
 */
import { type Graph, type Node, Value } from '../graph/model.js';
import { CONSTANT_PREFIX } from '../graph/parameters.js';
import { findReachable, findUses, type Uses } from '../graph/uses.js';
import type { DType } from '../tensor/dtype.js';
import { isFloat } from '../tensor/dtype.js';
import type { Tensor } from '../tensor/tensor.js';
import { readConstantTensor } from './node-attributes.js';
import type { PassResult } from './pass.js';

/** The inputs of each operator that hold weights when they are constant. */
export const layerWeights: Readonly<Record<string, readonly number[]>> = {
  Conv: [1, 2],
  ConvTranspose: [1, 2],
  Gemm: [0, 1, 2],
  MatMul: [0, 1],
  Einsum: [0, 1, 2],
  BatchNormalization: [1, 2, 3, 4],
  LayerNormalization: [1, 2],
  InstanceNormalization: [1, 2],
  GroupNormalization: [1, 2],
  RMSNormalization: [1],
  PRelu: [1],
  Gather: [0],
};

/** Operators that combine what a layer computed with a constant, element by element or end to end. */
const combiningOperators: ReadonlySet<string> = new Set(['Add', 'Sub', 'Mul', 'Div', 'Concat']);

/** The inputs that are settings of an operator: numbers of it that are no weights. */
const settingInputs: Readonly<Record<string, readonly number[]>> = {
  Resize: [1, 2],
  Upsample: [1],
  Clip: [1, 2],
  Pad: [2],
  QuantizeLinear: [1, 2],
  DequantizeLinear: [1, 2],
};

/** Whether an initializer is a weight, or the integers that stand for one. */
export function isStoredWeight({ name }: Value, { dtype, dims }: Tensor): boolean {
  return dims.length > 0 && !name.startsWith(CONSTANT_PREFIX) && (isFloat(dtype) || integerWeights.has(dtype));
}
const integerWeights: ReadonlySet<DType> = new Set(['int8', 'uint8', 'int16', 'uint16', 'int32']);

/** Calls `visit` for every value that reaches the weight of a layer by constants alone. */
function visitWeights(graph: Graph, uses: Uses, visit: (value: Value) => void): void {
  const running = findReachable(graph, graph.inputs);
  const roots = graph.nodes.flatMap(({ op, inputs }) => (layerWeights[op] ?? []).map((i) => inputs[i]));
  const learned = findReachable(
    graph,
    graph.nodes
      .filter(({ op, outputs }) => op in layerWeights && outputs.some((value) => value && running.has(value)))
      .flatMap(({ outputs }) => outputs.filter((value) => value !== undefined)),
  );
  for (const { op, inputs } of graph.nodes) {
    if (combiningOperators.has(op) && inputs.some((input) => input && learned.has(input))) roots.push(...inputs);
  }
  const seen = new Set<Value>();
  for (let value = roots.pop(); value !== undefined || roots.length > 0; value = roots.pop()) {
    if (!value || running.has(value) || seen.has(value)) continue;
    seen.add(value);
    visit(value);
    roots.push(...(uses.producer(value)?.inputs ?? []));
  }
}

/**
 * The graph of a file with the Constant nodes that hold weights as initializers of the same names, and with the
 * initializers that are settings renamed as constants. Constants that are outputs of the graph become initializers
 * too. Works on graphs straight from a file, whose types are not inferred yet.
 */
export function moveWeightsToInitializers(graph: Graph): PassResult {
  const uses = findUses(graph);
  const initializers = new Map(graph.initializers);
  const stored = new Set<Node>();
  const store = (node: Node | undefined): void => {
    const tensor = node && readConstantTensor(node);
    const value = node?.outputs[0];
    if (!node || !tensor || !value) return;
    initializers.set(value, tensor);
    stored.add(node);
  };
  visitWeights(graph, uses, (value) => {
    const node = uses.producer(value);
    const tensor = node && readConstantTensor(node);
    if (tensor && isStoredWeight(value, tensor)) store(node);
  });
  for (const output of graph.outputs) store(uses.producer(output));
  const renamed = renameSettings(graph, uses);
  if (stored.size === 0 && renamed.size === 0) return { graph, notes: [] };
  const own = (value: Value | undefined) => value && (renamed.get(value) ?? value);
  const moved: Graph = {
    ...graph,
    nodes: graph.nodes.filter((node) => !stored.has(node)).map((node) => ({ ...node, inputs: node.inputs.map(own) })),
    initializers: new Map(Array.from(initializers, ([value, tensor]) => [renamed.get(value) ?? value, tensor])),
  };
  return { graph: moved, notes: [] };
}

/** New values for the float initializers that only settings read. */
function renameSettings(graph: Graph, uses: Uses): Map<Value, Value> {
  const renamed = new Map<Value, Value>();
  for (const [value, { dtype, dims }] of graph.initializers) {
    const readers = uses.consumers(value);
    if (!isFloat(dtype) || dims.length === 0 || readers.length === 0 || graph.outputs.includes(value)) continue;
    const isSetting = ({ op, inputs, attributes }: Node) =>
      Object.values(attributes).every(({ type }) => type !== 'graph') &&
      inputs.every((input, i) => input !== value || settingInputs[op]?.includes(i));
    if (readers.every(isSetting)) renamed.set(value, new Value(`${CONSTANT_PREFIX}${value.name}`, value.type));
  }
  return renamed;
}
