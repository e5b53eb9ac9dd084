import { findFixedBatch } from '../graph/batch.js';
import { isStatic } from '../graph/dims.js';
import type { Dim, Graph, Node } from '../graph/model.js';
import { listLayers, matchesPattern } from '../graph/module-path.js';
import { listParameters, type Parameter } from '../graph/parameters.js';
import { findReachable } from '../graph/uses.js';
import { countNodeMacs } from '../ops/count-macs.js';
import { bindInputs } from '../passes/rewrite.js';
import { countElements } from '../tensor/dims.js';
import { getBytesPerElement } from '../tensor/dtype.js';
import { countTensorBytes } from '../tensor/tensor.js';

/** One row of a summary: a module without modules inside it. */
export interface LayerSummary {
  /** Module path: `vgg16.features.0`. */
  readonly name: string;
  /** The operator that gives the module its name, ONNX's (`Conv`); `TensorTrain` for a layer of cores. */
  readonly type: string;
  readonly outputShape: readonly Dim[];
  /** Learned numbers, running statistics excluded. */
  readonly parameters: number;
  readonly trainable: number;
  /** MACs of one forward pass at the summary's input dimensions. */
  readonly multAdds: number;
}

/** What torchinfo tells about a model. Sizes in bytes. */
export interface Summary {
  readonly inputShape: readonly Dim[];
  readonly parameters: number;
  readonly trainable: number;
  readonly frozen: number;
  readonly multAdds: number;
  /** Parameters and running statistics. */
  readonly sizeBytes: number;
  /** One batch of inputs. */
  readonly inputBytes: number;
  /** All activations of a forward pass, twice (their gradients), as torchinfo estimates it. */
  readonly activationBytes: number;
  readonly layers: readonly LayerSummary[];
}

/** Counts the MACs of one run: nodes that compute constants from constants are folded at load and do not count. */
export function countGraphMacs(graph: Graph): number {
  const running = findReachable(graph, graph.inputs);
  let total = 0;
  for (const node of graph.nodes) {
    if (node.outputs.some((output) => output && running.has(output))) total += countNodeMacs(node);
  }
  return total;
}

/** The operator a reader would name a module by: the one that holds its parameters, or its first. */
function findModuleType(nodes: readonly Node[], parameterNames: readonly string[]): string {
  if (parameterNames.some((name) => /\.tt_W0$/.test(name))) return 'TensorTrain';
  const main = nodes.find((node) => ['Conv', 'Gemm', 'MatMul', 'BatchNormalization'].includes(node.op));
  return (main ?? nodes[0])?.op ?? '';
}

/**
 * Summarises a model layer by layer.
 *
 * @param options.inputDims dimensions of the first input. Default: those of the graph with a batch of 1.
 * @param options.trains which parameters a training would change, by name. Default: all.
 */
export function summarizeGraph(
  graph: Graph,
  options: { readonly inputDims?: readonly number[]; readonly trains?: (parameter: string) => boolean } = {},
): Summary {
  const input = graph.inputs[0];
  const inputShape =
    options.inputDims ?? input?.type?.dims.map((dim, axis) => (axis === 0 && typeof dim === 'string' ? 1 : dim)) ?? [];
  const bound = bindInputs(graph, input ? { [input.name]: inputShape } : {});
  const trains = options.trains ?? (() => true);
  const unclaimedParameters = new Map(listParameters(bound).map((parameter) => [parameter.value, parameter]));
  let sizeBytes = 0;
  for (const { tensor } of unclaimedParameters.values()) sizeBytes += countTensorBytes(tensor);
  const running = findReachable(bound, bound.inputs);
  let activationElements = 0;
  const layers: LayerSummary[] = [];
  for (const { path, nodes, output } of listLayers(bound)) {
    const computed = nodes.filter((node) => node.outputs.some((value) => value && running.has(value)));
    const outputShape = output.type?.dims ?? [];
    // A parameter counts for the first module that reads it, whatever its exporter called it.
    const own: Parameter[] = [];
    for (const value of nodes.flatMap((node) => node.inputs)) {
      const parameter = value && unclaimedParameters.get(value);
      if (!value || !parameter) continue;
      unclaimedParameters.delete(value);
      if (parameter.kind === 'parameter') own.push(parameter);
    }
    const count = (some: readonly Parameter[]) => some.reduce((sum, { tensor }) => sum + countElements(tensor.dims), 0);
    if (isStatic(outputShape) && own.length > 0) activationElements += countElements(outputShape);
    layers.push({
      name: path,
      type: findModuleType(
        nodes,
        own.map(({ name }) => name),
      ),
      outputShape,
      parameters: count(own),
      trainable: count(own.filter(({ name }) => trains(name))),
      multAdds: computed.reduce((sum, node) => sum + countNodeMacs(node), 0),
    });
  }
  const parameters = layers.reduce((sum, layer) => sum + layer.parameters, 0);
  const trainable = layers.reduce((sum, layer) => sum + layer.trainable, 0);
  return {
    inputShape,
    parameters,
    trainable,
    frozen: parameters - trainable,
    multAdds: layers.reduce((sum, layer) => sum + layer.multAdds, 0),
    sizeBytes,
    inputBytes: isStatic(inputShape)
      ? countElements(inputShape) * getBytesPerElement(input?.type?.dtype ?? 'float32')
      : 0,
    activationBytes: activationElements * 4 * 2,
    layers,
  };
}

/** Summarises a model for one image: the MACs of a graph of a fixed batch are shared by its images. */
export function summarizeImage(graph: Graph): Summary {
  const summary = summarizeGraph(graph);
  const images = findFixedBatch(graph) ?? 1;
  const layers = summary.layers.map((layer) => ({ ...layer, multAdds: layer.multAdds / images }));
  return { ...summary, multAdds: summary.multAdds / images, layers };
}

/** Builds a predicate from patterns such as `classifier.*` that tells whether a training changes a parameter. */
export function buildTrainedPredicate(patterns: readonly string[]): (parameter: string) => boolean {
  return (parameter) => patterns.some((pattern) => matchesPattern(parameter, pattern));
}
