/*
 * The layers that Grad-CAM can look at, and the one it looks at by default.
 */
import { UsageError } from '../errors.js';
import type { Graph, Value } from '../graph/model.js';
import { findLayer, listLayers } from '../graph/module-path.js';
import { findReachable, listNodesFor } from '../graph/uses.js';
import { findScores } from '../ops/scores/scores.js';
import { type ChannelAxes, findChannelAxes } from './channel-axis.js';
import { reachesScores } from './reach.js';
import { findGrids, type Grid, type Grids, isGrid } from './spatial.js';

/** Operators whose output is an activation in the sense of Grad-CAM: features, neither pooled nor only laid out differently. */
const activationOperators = new Set([
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
const weightOperators = new Set(['Conv', 'ConvTranspose', 'Gemm', 'MatMul']);

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

/** The values that a weight is applied to on the way to the outputs. */
function findUpstreamOfWeights(graph: Graph): Set<Value> {
  const images = findReachable(graph, graph.inputs);
  const upstream = new Set<Value>();
  for (const { op, inputs, outputs } of graph.nodes.toReversed()) {
    const holds = weightOperators.has(op) && inputs.some((input) => input && !images.has(input));
    if (!holds && !outputs.some((output) => output && upstream.has(output))) continue;
    for (const input of inputs) if (input) upstream.add(input);
  }
  return upstream;
}

/** A layer, and the position of the node that ends it. */
type LayerCandidate = Omit<SpatialLayer, 'isDefault'> & { readonly index: number };

/** Whether a layer ends with a normalisation: `LayerNormalization`, or the scale and shift of one spelled out. */
function endsWithNorm(graph: Graph, axes: ChannelAxes, { op, output }: LayerCandidate): boolean {
  if (op !== 'Add') return op === 'LayerNormalization';
  const inputs = graph.nodes.find(({ outputs }) => outputs.includes(output))?.inputs ?? [];
  const scaled = graph.nodes.find(({ outputs }) => inputs.some((input) => input && outputs.includes(input)));
  return scaled?.op === 'Mul' && [inputs, scaled.inputs].every((read) => read.some((v) => v && axes.isPerChannel(v)));
}

/** Where class tokens are read, patches count up to the last attention only: the norm in front of it. */
function findUpstreamOfLastAttention(
  graph: Graph,
  axes: ChannelAxes,
  candidates: readonly LayerCandidate[],
): LayerCandidate | undefined {
  const last = graph.nodes.findLastIndex((node) => axes.mixes(node));
  const before = candidates.filter(({ index }) => index < last);
  return before.findLast((candidate) => endsWithNorm(graph, axes, candidate)) ?? before.at(-1);
}

function chooseDefault(
  { own: graph, axes, grids }: AnalysedGraph,
  layers: readonly LayerCandidate[],
): LayerCandidate | undefined {
  const { columns } = findScores(graph);
  const candidates = layers.filter(({ op }) => activationOperators.has(op));
  const unfinished = findUpstreamOfWeights(graph);
  const isClassMap = ({ grid, output }: LayerCandidate) => grid.channels === columns && !unfinished.has(output);
  const last = candidates.findLast((candidate) => !isClassMap(candidate)) ?? candidates.at(-1);
  if (last?.grid.layout !== 'tokens' || reachesScores(graph, axes, grids, last.output)) return last;
  return findUpstreamOfLastAttention(graph, axes, candidates) ?? last;
}

/** A graph cut down to what its scores depend on, with all that structure tells of it. */
interface AnalysedGraph {
  readonly own: Graph;
  readonly axes: ChannelAxes;
  readonly grids: Grids;
}

function analyseGraph(graph: Graph): AnalysedGraph {
  const { output: scores } = findScores(graph);
  const own: Graph = { ...graph, nodes: listNodesFor(graph, [scores]), outputs: [scores] };
  const axes = findChannelAxes(own);
  return { own, axes, grids: findGrids(own, axes) };
}

/**
 * The layers of a classifier that have a map, in order of execution: their outputs are `[N, C, H, W]`, `[N, H, W, C]`
 * or tokens `[N, T, C]` with more than one place.
 *
 * The default is the last one that is an activation: not a pooling, not a change of layout, and no map of class scores
 * (SqueezeNet ends in a convolution with one channel a class: the layer before it is looked at). A transformer that
 * reads its class token gives the last block's first norm, after which patches do not reach the scores.
 */
export function findSpatialLayers(graph: Graph): SpatialLayer[] {
  const analysed = analyseGraph(graph);
  const { own, grids } = analysed;
  const order = new Map(own.nodes.map((node, index) => [node, index]));
  const layers = listLayers(own)
    .flatMap(({ path, nodes, output }): LayerCandidate[] => {
      const grid = grids.findGrid(output);
      const node = nodes.find(({ outputs }) => outputs.includes(output));
      return isGrid(grid) && node ? [{ path, op: node.op, output, grid, index: order.get(node) ?? 0 }] : [];
    })
    // A module that holds others comes where it ends.
    .sort((a, b) => a.index - b.index);
  const chosen = chooseDefault(analysed, layers);
  return layers.map(({ index, ...layer }) => ({ ...layer, isDefault: index === chosen?.index }));
}

/**
 * The layer Grad-CAM looks at by default, see `spatialLayers`.
 *
 * @throws UsageError when the graph has no spatial activation.
 */
export function findDefaultLayer(graph: Graph): SpatialLayer {
  const layer = findSpatialLayers(graph).find(({ isDefault }) => isDefault);
  if (layer) return layer;
  const unclear =
    describeUnclearLayers(graph) ?? 'Where its input has no fixed height and width, give them with `inputSize`.';
  throw new UsageError(`This model has no activation on a grid over the image that Grad-CAM could look at. ${unclear}`);
}

/**
 * The layer that a person named: a module path, a unique suffix of one, or the name of a node or of its output.
 *
 * @throws UsageError when there is none, with the nearest name, and when it has no map, with those that have one.
 */
export function findNamedLayer(graph: Graph, name: string): Omit<SpatialLayer, 'isDefault'> {
  const { path: module, output } = findLayer(graph, name);
  const path = module === name || module.endsWith(`.${name}`) ? module : name;
  const { own, grids } = analyseGraph(graph);
  const node = own.nodes.find(({ outputs }) => outputs.includes(output));
  const grid = grids.findGrid(output);
  if (node && isGrid(grid)) return { path, op: node.op, output, grid };
  const others = findSpatialLayers(graph)
    .slice(-8)
    .map((layer) => layer.path);
  const why = node && !isGrid(grid) ? `has no map: ${grid.reason}` : 'does not lead to the scores';
  const list =
    others.length === 0 ? 'None has one.' : `The last layers that Grad-CAM can look at: ${others.join(', ')}.`;
  throw new UsageError(`Layer "${path}" ${why}. ${list}`);
}

/**
 * Says in a sentence which layers downstream of the default one (all, where there is none) have no map because the graph does not
 * show where their tokens lie; `undefined` where there are none.
 */
export function describeUnclearLayers(graph: Graph): string | undefined {
  const { own, grids } = analyseGraph(graph);
  const chosen = findSpatialLayers(graph).find(({ isDefault }) => isDefault)?.output;
  const start = own.nodes.findIndex(({ outputs }) => chosen && outputs.includes(chosen));
  const downstream = new Set(own.nodes.slice(start + 1).flatMap(({ outputs }) => outputs));
  const unclear = listLayers(own).flatMap(({ path, output }) => {
    const found = grids.findGrid(output);
    return downstream.has(output) && !isGrid(found) && found.isUnclear ? [{ path, reason: found.reason }] : [];
  });
  const [first] = unclear;
  if (!first) return undefined;
  const which =
    unclear.length === 1 ? `Layer "${first.path}" has` : `${unclear.length} layers from "${first.path}" on have`;
  return `${which} no map: ${first.reason}.`;
}
