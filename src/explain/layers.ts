/*
 * The layers that Grad-CAM can look at, and the one it looks at unless told otherwise.
 */
import { ShiboriError, UsageError } from '../errors.js';
import { formatDims } from '../graph/dims.js';
import type { Graph, Value } from '../graph/model.js';
import { findLayer, layersOf } from '../graph/module-path.js';
import { nodesFor, reachableFrom } from '../graph/uses.js';
import { type ChannelAxes, channelAxes } from './channel-axis.js';
import { type Grid, gridsOf } from './spatial.js';

/** Operators whose output is an activation in the sense of Grad-CAM: features, neither pooled nor only laid out anew. */
const activations = new Set([
  'Add',
  'BatchNormalization',
  'Celu',
  'Clip',
  'Concat',
  'Conv',
  'Elu',
  'Gelu',
  'GroupNormalization',
  'HardSigmoid',
  'HardSwish',
  'InstanceNormalization',
  'LayerNormalization',
  'LeakyRelu',
  'Mish',
  'Mul',
  'PRelu',
  'Relu',
  'Selu',
  'Sigmoid',
  'Softplus',
  'Tanh',
]);

/** Operators that hold weights, where one of their inputs is constant. */
const weighted = new Set(['Conv', 'ConvTranspose', 'Gemm', 'MatMul']);

/** A layer whose output lies on a grid over the image. */
export interface SpatialLayer {
  /** Module path. */
  readonly path: string;
  /** The ONNX operator that computes the output. */
  readonly op: string;
  readonly output: Value;
  readonly grid: Grid;
  /** Whether Grad-CAM looks here by default. */
  readonly isDefault: boolean;
}

/**
 * The scores of a classifier: the first output `[N, classes]`, or `[N, classes, 1, 1]` of a convolutional head. Further
 * ones (auxiliary heads) are of no interest.
 *
 * @throws ShiboriError when there is none.
 */
export function classScores(graph: Graph): { readonly value: Value; readonly classes: number } {
  for (const value of graph.outputs) {
    const [, classes, ...rest] = value.type?.dims ?? [];
    if (typeof classes === 'number' && (rest.length === 0 || rest.length === 2) && rest.every((size) => size === 1))
      return { value, classes };
  }
  const found = graph.outputs.map(({ name, type }) => `"${name}" ${formatDims(type?.dims)}`);
  throw new ShiboriError(`The model is no classifier: it gives ${found.join(', ')}, none of which is [N, classes].`);
}

/** The values that a weight is applied to on the way to the outputs. */
function beforeWeights(graph: Graph): Set<Value> {
  const images = reachableFrom(graph, graph.inputs);
  const before = new Set<Value>();
  for (const { op, inputs, outputs } of graph.nodes.toReversed()) {
    const holds = weighted.has(op) && inputs.some((input) => input && !images.has(input));
    if (!holds && !outputs.some((output) => output && before.has(output))) continue;
    for (const input of inputs) if (input) before.add(input);
  }
  return before;
}

/** A layer, and the position of the node that ends it. */
type Candidate = Omit<SpatialLayer, 'isDefault'> & { readonly index: number };

/** Whether a layer ends with a normalisation: `LayerNormalization`, or the scale and shift of one spelled out. */
function endsNorm(graph: Graph, axes: ChannelAxes, { op, output }: Candidate): boolean {
  if (op !== 'Add') return op === 'LayerNormalization';
  const inputs = graph.nodes.find(({ outputs }) => outputs.includes(output))?.inputs ?? [];
  const scaled = graph.nodes.find(({ outputs }) => inputs.some((input) => input && outputs.includes(input)));
  return scaled?.op === 'Mul' && [inputs, scaled.inputs].every((read) => read.some((v) => v && axes.isPerChannel(v)));
}

/** Where class tokens are read, patches count up to the last attention only: the norm in front of it. */
function beforeLastAttention(graph: Graph, axes: ChannelAxes, candidates: readonly Candidate[]): Candidate | undefined {
  const last = graph.nodes.findLastIndex((node) => axes.mixes(node));
  const before = candidates.filter(({ index }) => index < last);
  return before.findLast((candidate) => endsNorm(graph, axes, candidate)) ?? before.at(-1);
}

function chooseDefault(graph: Graph, axes: ChannelAxes, layers: readonly Candidate[]): Candidate | undefined {
  const { classes } = classScores(graph);
  const candidates = layers.filter(({ op }) => activations.has(op));
  const unfinished = beforeWeights(graph);
  const isClassMap = ({ grid, output }: Candidate) => grid.channels === classes && !unfinished.has(output);
  const last = candidates.findLast((candidate) => !isClassMap(candidate)) ?? candidates.at(-1);
  return last && last.grid.prefix > 0 ? (beforeLastAttention(graph, axes, candidates) ?? last) : last;
}

/** A graph cut down to what its scores depend on, with all that structure tells of it. */
function analyse(graph: Graph) {
  const { value: scores } = classScores(graph);
  const own: Graph = { ...graph, nodes: nodesFor(graph, [scores]), outputs: [scores] };
  const axes = channelAxes(own);
  return { own, axes, gridOf: gridsOf(own, axes) };
}

/**
 * The layers of a classifier that have a map, in order of execution: their outputs are `[N, C, H, W]`, `[N, H, W, C]`
 * or tokens `[N, T, C]` with more than one place.
 *
 * The default is the last one that is an activation: not a pooling, not a change of layout, and no map of class scores
 * (SqueezeNet ends in a convolution with one channel a class: the layer before it is looked at). A transformer that
 * reads its class token gives the last block's first norm, after which patches do not reach the scores.
 */
export function spatialLayers(graph: Graph): SpatialLayer[] {
  const { own, axes, gridOf } = analyse(graph);
  const order = new Map(own.nodes.map((node, index) => [node, index]));
  const layers = layersOf(own)
    .flatMap(({ path, nodes, output }): Candidate[] => {
      const grid = gridOf(output);
      const node = nodes.find(({ outputs }) => outputs.includes(output));
      return grid && node ? [{ path, op: node.op, output, grid, index: order.get(node) ?? 0 }] : [];
    })
    // A module that holds others comes where it ends.
    .sort((a, b) => a.index - b.index);
  const chosen = chooseDefault(own, axes, layers);
  return layers.map(({ index, ...layer }) => ({ ...layer, isDefault: index === chosen?.index }));
}

/**
 * The layer Grad-CAM looks at by default, see `spatialLayers`.
 *
 * @throws UsageError when the graph has no spatial activation.
 */
export function defaultLayer(graph: Graph): SpatialLayer {
  const layer = spatialLayers(graph).find(({ isDefault }) => isDefault);
  if (layer) return layer;
  throw new UsageError(
    'This model has no activation on a grid over the image that Grad-CAM could look at. Where its input has no fixed height and width, give them with --input.',
  );
}

/**
 * The layer that a person named: a module path, a unique suffix of one, or the name of a node or of its output.
 *
 * @throws UsageError when there is none, with the nearest name, and when it has no map, with those that have one.
 */
export function namedLayer(graph: Graph, name: string): Omit<SpatialLayer, 'isDefault'> {
  const { path: module, output } = findLayer(graph, name);
  const path = module === name || module.endsWith(`.${name}`) ? module : name;
  const { own, gridOf } = analyse(graph);
  const node = own.nodes.find(({ outputs }) => outputs.includes(output));
  const grid = gridOf(output);
  if (node && grid) return { path, op: node.op, output, grid };
  const others = spatialLayers(graph)
    .slice(-8)
    .map((layer) => layer.path);
  const why = node
    ? `gives ${formatDims(output.type?.dims)}, which is no grid over the image ([N, C, H, W], [N, H, W, C] or tokens of patches [N, T, C])`
    : 'does not lead to the scores';
  throw new UsageError(`Layer "${path}" ${why}. The last layers that Grad-CAM can look at: ${others.join(', ')}.`);
}
