import { elementsPer, isStatic } from '../graph/dims.js';
import type { Graph, Node, Value } from '../graph/model.js';
import { modulePath } from '../graph/module-path.js';
import { usesOf } from '../graph/uses.js';
import { type Matrix, matrix } from '../linalg/matrix.js';
import { type Window, windowOf } from '../ops/convolution.js';
import { attributesOf } from '../ops/table.js';
import { sizeOf } from '../tensor/dims.js';
import { expectFloat32, type Tensor } from '../tensor/tensor.js';

/** A dense Conv or Gemm of a graph as one linear map from patches of its input to its output channels. */
export interface SqueezeLayer {
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
}

/** A layer that is left as it is, and why. */
export interface Refusal {
  readonly path: string;
  readonly reason: string;
}

/** Number of weights and biases. */
export function denseParameters({ weight, bias }: SqueezeLayer): number {
  return weight.data.length + (bias?.length ?? 0);
}

/** Multiply-adds of one image. */
export function denseMultiplyAdds({ weight, outputSize }: SqueezeLayer): number {
  return weight.data.length * sizeOf(outputSize);
}

const LINEAR_WINDOW: Window = { kernel: [1, 1], strides: [1, 1], pads: [0, 0, 0, 0], dilations: [1, 1] };

/** The weight `[rows, columns]` with its axes exchanged. */
function turned(data: Float32Array, rows: number, columns: number): Matrix {
  const result = matrix(columns, rows);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) result.data[j * rows + i] = data[i * columns + j] as number;
  }
  return result;
}

/** An initializer that only this node reads; a reason when it is something else. */
function ownParameter(graph: Graph, value: Value | undefined, what: string): Tensor<'float32'> | string {
  const data = value && graph.initializers.get(value);
  if (!value || data?.dtype !== 'float32') return `its ${what} is no float32 constant`;
  const readers = graph.nodes.filter(({ inputs }) => inputs.includes(value));
  return readers.length > 1 ? `its ${what} is shared with ${readers.at(-1)?.name}` : data;
}

/** A size that may not be known. */
const pair = (dims: readonly unknown[] | undefined): [number, number] | undefined => {
  const [height, width, more] = dims?.slice(2) ?? [];
  return typeof height === 'number' && typeof width === 'number' && more === undefined ? [height, width] : undefined;
};

function convolutionOf(graph: Graph, node: Node): Omit<SqueezeLayer, 'path'> | string {
  const [x, w, b] = node.inputs;
  const [output] = node.outputs;
  const weight = ownParameter(graph, w, 'weight');
  const bias = b && ownParameter(graph, b, 'bias');
  if (typeof weight === 'string') return weight;
  if (typeof bias === 'string') return bias;
  const attributes = attributesOf('Conv', node);
  if (attributes.group !== 1) return `it has ${attributes.group} groups: each is small already`;
  const [outputs = 1, inputs = 1, height = 1, width = 1] = weight.dims;
  const inputSize = pair(x?.type?.dims);
  const outputSize = pair(output?.type?.dims);
  if (weight.dims.length !== 4) return `its kernel has ${weight.dims.length - 2} spatial axes, only two are supported`;
  if (!x || !output || !inputSize || !outputSize) return 'the size of its maps is not known';
  return {
    kind: 'conv',
    node,
    x,
    output,
    inputs,
    outputs,
    kernel: [height, width],
    window: windowOf(attributes, [height, width], inputSize),
    inputSize,
    outputSize,
    weight: turned(weight.data, outputs, inputs * height * width),
    bias: bias && Float64Array.from(bias.data),
  };
}

function linearOf(graph: Graph, node: Node): Omit<SqueezeLayer, 'path'> | string {
  const [x, w, b] = node.inputs;
  const [product] = node.outputs;
  const raw = ownParameter(graph, w, 'weight');
  if (typeof raw === 'string') return raw;
  const [rows = 1, columns = 1] = raw.dims;
  const dims = x?.type?.dims ?? [];
  if (!x || !product || raw.dims.length !== 2 || dims.length < 2) return 'it is no product with a matrix';
  const count = elementsPer(graph.inputs[0]?.type?.dims[0] ?? 'N', dims.slice(0, -1));
  if (count === undefined) return 'the number of its rows is not known';
  const common = { kind: 'linear', node, x, kernel: [1, 1], window: LINEAR_WINDOW } as const;
  const sizes = { inputSize: [count, 1], outputSize: [count, 1] } as const;
  if (node.op === 'MatMul') {
    const weight = matrix(rows, columns, Float64Array.from(raw.data));
    // A bias comes as an Add of its own.
    const [add, other] = usesOf(graph).consumers(product);
    const addend = add?.op === 'Add' && !other ? add.inputs.find((value) => value !== product) : undefined;
    const bias = addend && ownParameter(graph, addend, 'bias');
    const sum = add?.outputs[0];
    const whole = sum && typeof bias === 'object' && bias.data.length === columns && !graph.outputs.includes(product);
    return {
      ...common,
      ...sizes,
      inputs: rows,
      outputs: columns,
      weight,
      output: whole ? sum : product,
      bias: whole ? Float64Array.from(bias.data) : undefined,
    };
  }
  const bias = b && ownParameter(graph, b, 'bias');
  if (typeof bias === 'string') return bias;
  const { alpha, beta, transA, transB } = attributesOf('Gemm', node);
  const [outputs, inputs] = transB ? [rows, columns] : [columns, rows];
  if (alpha !== 1 || beta !== 1 || transA) return 'its Gemm scales or transposes its input';
  if (bias && bias.data.length !== outputs) return 'its bias is broadcast';
  return {
    ...common,
    ...sizes,
    inputs,
    outputs,
    output: product,
    weight: transB ? turned(raw.data, rows, columns) : matrix(rows, columns, Float64Array.from(raw.data)),
    bias: bias && Float64Array.from(expectFloat32(bias, 'bias').data),
  };
}

const readers: Readonly<Record<string, (graph: Graph, node: Node) => Omit<SqueezeLayer, 'path'> | string>> = {
  Conv: convolutionOf,
  Gemm: linearOf,
  MatMul: linearOf,
};

/**
 * The layers of a graph that can be squeezed, in order of execution: Conv with one group and two spatial axes, and Gemm
 * or MatMul with constant weights, all float32 and read by one node alone.
 *
 * @returns also those that look like such layers and are left alone, with the reason.
 */
export function squeezeLayers(graph: Graph): { layers: SqueezeLayer[]; refused: Refusal[] } {
  const layers: SqueezeLayer[] = [];
  const refused: Refusal[] = [];
  const paths = new Set<string>();
  for (const node of graph.nodes) {
    const found = readers[node.op]?.(graph, node);
    if (found === undefined) continue;
    const path = modulePath(node);
    // Products of two activations, and with constants of the graph's own making, were never parameters.
    const parameter = node.inputs.slice(1).some((input) => input && graph.initializers.has(input));
    if (typeof found === 'object' && !paths.has(path) && isStatic(found.output.type?.dims.slice(1) ?? ['?'])) {
      paths.add(path);
      layers.push({ path, ...found });
    } else if (parameter) {
      refused.push({ path, reason: typeof found === 'string' ? found : 'its module holds another such layer' });
    }
  }
  return { layers, refused };
}
