import { findTtDescriptors } from '../decompose/tt-layer.js';
import type { Graph, Node, Value } from '../graph/model.js';
import { getModulePath } from '../graph/module-path.js';
import { isParameter } from '../graph/parameters.js';
import { findUses, listNodesFor, type Uses } from '../graph/uses.js';
import { type Matrix, matrix } from '../linalg/matrix.js';
import { readWindow, type Window } from '../ops/convolution.js';
import { readConvolution } from '../passes/recognisers/convolution.js';
import { findOtherReader, linearOperators, readLinear } from '../passes/recognisers/linear.js';
import { countElements } from '../tensor/dims.js';

/** A dense Conv or Gemm of a graph as one linear map from patches of its input to its output channels. */
export interface CompressibleLayer {
  readonly path: string;
  readonly kind: 'conv' | 'linear';
  readonly node: Node;
  readonly x: Value;
  /** What the layer computes, its bias added, no activation function. */
  readonly output: Value;
  /** Input channels C, output channels O, and the kernel's height and width (1 × 1 for a linear layer). */
  readonly inputs: number;
  readonly outputs: number;
  readonly kernel: readonly [height: number, width: number];
  /** Strides, pads and dilations; those of a linear layer are 1, 0 and 1. */
  readonly window: Window;
  /** Spatial dimensions of input and output; for a linear layer its rows of an image (tokens), mostly one, × 1. */
  readonly inputSize: readonly [height: number, width: number];
  readonly outputSize: readonly [height: number, width: number];
  /** `[C·height·width, O]`: axes in the order in, height, width, out. */
  readonly weight: Matrix;
  /** `[O]`. */
  readonly bias: Float64Array | undefined;
  /** Whether other layers read the same bias: it stays, whatever becomes of this one. */
  readonly sharesBias: boolean;
}

/** A layer that is left as it is, and why. */
export interface RefusedLayer {
  readonly path: string;
  readonly reason: string;
}

/** Number of weights and biases that the layer alone reads. */
export function countDenseParameters({ weight, bias, sharesBias }: CompressibleLayer): number {
  return weight.data.length + (sharesBias ? 0 : (bias?.length ?? 0));
}

/** MACs of one image. */
export function countDenseMacs({ weight, outputSize }: CompressibleLayer): number {
  return weight.data.length * countElements(outputSize);
}

const LINEAR_WINDOW: Window = { kernel: [1, 1], strides: [1, 1], pads: [0, 0, 0, 0], dilations: [1, 1] };

/** The weight `[rows, columns]` with its axes exchanged. */
function transposeWeight(data: Float32Array, rows: number, columns: number): Matrix {
  const result = matrix(columns, rows);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) result.data[j * rows + i] = data[i * columns + j] as number;
  }
  return result;
}

/** Whether several nodes read a value. */
const isReadBySeveral = (value: Value | undefined, uses: Uses): boolean =>
  value !== undefined && uses.consumers(value).length > 1;

/** A size that may not be known. */
const readSpatialSize = (dims: readonly unknown[] | undefined): [number, number] | undefined => {
  const [height, width, more] = dims?.slice(2) ?? [];
  return typeof height === 'number' && typeof width === 'number' && more === undefined ? [height, width] : undefined;
};

type LayerReader = (graph: Graph, node: Node, uses: Uses) => Omit<CompressibleLayer, 'path'> | string | undefined;

const readConvolutionLayer: LayerReader = (graph, node, uses) => {
  const found = readConvolution(graph, node);
  if (typeof found === 'string') return found;
  const { x, output, weight, bias, storedBias, attributes } = found;
  if (attributes.group !== 1) return 'it is a convolution in groups (depthwise), each of which is small already';
  if (weight.dims.length !== 4) return `its kernel has ${weight.dims.length - 2} spatial axes, only two are supported`;
  const [outputs, inputs, height, width] = weight.dims as [number, number, number, number];
  const inputSize = readSpatialSize(x.type?.dims);
  const outputSize = readSpatialSize(output.type?.dims);
  if (!inputSize || !outputSize) return 'the size of its maps is not known';
  return {
    kind: 'conv',
    node,
    x,
    output,
    inputs,
    outputs,
    kernel: [height, width],
    window: readWindow(attributes, [height, width], inputSize),
    inputSize,
    outputSize,
    weight: transposeWeight(weight.data, outputs, inputs * height * width),
    bias: bias && Float64Array.from(bias.data),
    sharesBias: isReadBySeveral(storedBias, uses),
  };
};

const readLinearLayer: LayerReader = (graph, node, uses) => {
  const found = readLinear(graph, node, uses);
  if (typeof found !== 'object') return found;
  const { x, output, weight, bias, rows, storedBias } = found;
  const [outputs, inputs] = weight.dims as [number, number];
  return {
    kind: 'linear',
    node,
    x,
    output,
    inputs,
    outputs,
    kernel: [1, 1],
    window: LINEAR_WINDOW,
    inputSize: [rows, 1],
    outputSize: [rows, 1],
    weight: transposeWeight(weight.data, outputs, inputs),
    bias: bias && Float64Array.from(bias.data),
    sharesBias: isReadBySeveral(storedBias, uses),
  };
};

const layerReaders: Readonly<Record<string, LayerReader>> = {
  Conv: readConvolutionLayer,
  ConvTranspose: () => 'transposed convolutions are not decomposed',
  ...Object.fromEntries([...linearOperators].map((op) => [op, readLinearLayer])),
};

/** Whether a node reads a parameter: products with constants of the graph's own making never were layers. */
function readsParameter(graph: Graph, node: Node): boolean {
  return node.inputs.some((input) => {
    const data = input && graph.initializers.get(input);
    return data && isParameter(input, data);
  });
}

/**
 * The layers of a graph that can be compressed, in order of execution: Conv with one group and two spatial axes, and Gemm,
 * MatMul or Einsum with a constant matrix, of float32 weights that no other node reads.
 *
 * @returns also those that look like such layers and are left alone, with the reason.
 */
export function findCompressibleLayers(graph: Graph): { layers: CompressibleLayer[]; refused: RefusedLayer[] } {
  const layers: CompressibleLayer[] = [];
  const refused: RefusedLayer[] = [];
  const paths = new Set<string>();
  const uses = findUses(graph);
  const tensorTrainPaths = new Set(findTtDescriptors(graph).map(({ path }) => path));
  // Further outputs (auxiliary heads, embeddings) are kept as they are: no loss tells what their layers may lose.
  const upstreamOfScores = new Set(listNodesFor(graph, graph.outputs.slice(0, 1)));
  for (const node of graph.nodes) {
    const path = getModulePath(node);
    const found = layerReaders[node.op]?.(graph, node, uses);
    if (found === undefined || !readsParameter(graph, node)) continue;
    const other = findOtherReader(graph, node, uses);
    const refuse = (reason: string) => refused.push({ path, reason });
    if (tensorTrainPaths.has(path)) {
      if (!paths.has(path)) refuse('it is a tensor train already');
      paths.add(path);
    } else if (!upstreamOfScores.has(node)) refuse('it does not lead to the scores');
    else if (paths.has(path)) refuse('it is a factor of a layer that is decomposed already');
    else if (typeof found === 'string') refuse(found);
    else if (other !== undefined) refuse(`its weight is shared with "${other}", so that both would be stored`);
    else {
      paths.add(path);
      layers.push({ path, ...found });
    }
  }
  return { layers, refused };
}
