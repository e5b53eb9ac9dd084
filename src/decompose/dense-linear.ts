/*
 * Recognises dense linear layers y = x Wᵀ + b along the last axis of x, however a graph writes them: Gemm, MatMul or Einsum
 * with a constant matrix, the bias in the node or in an Add behind it.
 */
import { countElementsPer } from '../graph/dims.js';
import type { Graph, Node, Value } from '../graph/model.js';
import type { Uses } from '../graph/uses.js';
import { parseEinsum } from '../ops/einsum.js';
import { readAttributes } from '../ops/table.js';
import { float32, type Tensor, tensor } from '../tensor/tensor.js';

/** Operators that may be dense linear layers. */
export const linearOperators: ReadonlySet<string> = new Set(['Gemm', 'MatMul', 'Einsum']);

/** A dense linear layer. */
export interface DenseLinear {
  readonly node: Node;
  readonly x: Value;
  /** y, the bias added. */
  readonly output: Value;
  /** `[out, in]`. */
  readonly weight: Tensor<'float32'>;
  /** `[out]`. */
  readonly bias: Tensor<'float32'> | undefined;
  /** The initializer that the bias is stored in. */
  readonly storedBias: Value | undefined;
  /** Rows of an image, mostly one: tokens. */
  readonly rows: number;
}

/** The matrix with its axes exchanged, its elements times a factor. */
function transposeAndScale({ dims, data }: Tensor<'float32'>, factor: number): Tensor<'float32'> {
  const [rows = 0, columns = 0] = dims;
  const out = new Float32Array(data.length);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) out[j * rows + i] = factor * (data[i * columns + j] as number);
  return tensor('float32', [columns, rows], out);
}

const scaleTensor = (source: Tensor<'float32'>, factor: number): Tensor<'float32'> =>
  factor === 1
    ? source
    : tensor(
        'float32',
        source.dims,
        source.data.map((value) => factor * value),
      );

/** The tensor of a float32 initializer. */
function getFloat32Initializer(graph: Graph, value: Value | undefined): Tensor<'float32'> | undefined {
  const data = value && graph.initializers.get(value);
  return data?.dtype === 'float32' ? data : undefined;
}

/** The name of another node that reads a weight of this one: decomposing it would store both. */
export function findOtherReader(graph: Graph, node: Node, uses: Uses): string | undefined {
  for (const input of node.inputs) {
    const matrix = input && (graph.initializers.get(input)?.dims.length ?? 0) > 1;
    const other = matrix && uses.consumers(input).find((reader) => reader !== node);
    if (other) return other.name;
  }
  return undefined;
}

/** A bias as `[out]`: one number for all outputs is repeated. `undefined` where it differs by row. */
function toBiasRow(data: Tensor<'float32'>, outputs: number): Tensor<'float32'> | undefined {
  if (data.dims.slice(0, -1).some((size) => size !== 1)) return undefined;
  if (data.data.length === outputs) return float32(data.data, [outputs]);
  return data.data.length === 1 ? float32(new Float32Array(outputs).fill(data.data[0] as number)) : undefined;
}

/** The product of a node: what is multiplied, and the weight `[out, in]`. */
interface LinearProduct {
  readonly x: Value;
  readonly weight: Tensor<'float32'>;
}

/** Reads x and W of a MatMul or Einsum of two factors, or says what else it is. */
function readLinearProduct(graph: Graph, node: Node): LinearProduct | string {
  const [left, right] = node.inputs;
  const x = getFloat32Initializer(graph, left) ? right : left;
  const stored = getFloat32Initializer(graph, left) ?? getFloat32Initializer(graph, right);
  if (!left || !right || node.inputs.length !== 2 || !x || !stored) return 'its weight is no float32 constant';
  if (stored.dims.length !== 2) return `its weight has ${stored.dims.length} axes, only a matrix is supported`;
  if (node.op === 'MatMul') {
    if (x === right) return 'its weight stands on the left, and mixes rows instead of features';
    return { x, weight: transposeAndScale(stored, 1) };
  }
  const ranks = [left, right].map(({ type }) => type?.dims.length ?? 0);
  const { inputs, output } = parseEinsum(readAttributes('Einsum', node).equation, ranks);
  const [features = [], matrix = []] = x === left ? inputs : [...inputs].reverse();
  const summed = features.at(-1) ?? '';
  const made = matrix.find((label) => label !== summed);
  const expected = [...features.slice(0, -1), made];
  if (!matrix.includes(summed) || output.join() !== expected.join()) {
    return 'its Einsum is no product of the last axis with a matrix';
  }
  return { x, weight: matrix[0] === summed ? transposeAndScale(stored, 1) : stored };
}

/** Reads a Gemm. */
function readGemm(graph: Graph, node: Node): (LinearProduct & Pick<DenseLinear, 'bias'>) | string {
  const [x, w, b] = node.inputs;
  const stored = getFloat32Initializer(graph, w);
  const { alpha, beta, transA, transB } = readAttributes('Gemm', node);
  if (!x || !stored) return 'its weight is no float32 constant';
  if (graph.initializers.has(x)) return 'its weight stands on the left, and mixes rows instead of features';
  if (transA) return 'its Gemm transposes its input';
  const weight = transB ? scaleTensor(stored, alpha) : transposeAndScale(stored, alpha);
  if (!b) return { x, weight, bias: undefined };
  const own = getFloat32Initializer(graph, b);
  const bias = own && toBiasRow(own, weight.dims[0] as number);
  if (!bias) return own ? 'its bias differs by row' : 'its bias is no float32 constant';
  return { x, weight, bias: scaleTensor(bias, beta) };
}

/**
 * Reads a node as a dense linear layer.
 *
 * @param node Gemm, MatMul or Einsum.
 * @returns the layer, or why it is none; `undefined` for a product of two activations.
 */
export function readDenseLinear(graph: Graph, node: Node, uses: Uses): DenseLinear | string | undefined {
  if (!node.inputs.some((input) => input && graph.initializers.has(input))) return undefined;
  const [product] = node.outputs;
  const gemm = node.op === 'Gemm' ? readGemm(graph, node) : undefined;
  const found = gemm ?? readLinearProduct(graph, node);
  if (typeof found === 'string') return found;
  const dims = found.x.type?.dims ?? [];
  if (!product || dims.length < 2) return 'its input has fewer than two axes';
  const rows = countElementsPer(graph.inputs[0]?.type?.dims[0] ?? 'N', dims.slice(0, -1));
  if (rows === undefined) return 'the number of its rows is not known';
  const { x, weight } = found;
  if (typeof gemm === 'object') {
    return { node, x, weight, bias: gemm.bias, storedBias: gemm.bias && node.inputs[2], output: product, rows };
  }
  // A bias comes as an Add of its own.
  const [add, other] = uses.consumers(product);
  const addend = add?.op === 'Add' && !other ? add.inputs.find((value) => value !== product) : undefined;
  const own = getFloat32Initializer(graph, addend);
  const fits = own && own.dims.length > 0 && own.dims.length <= dims.length;
  const bias = fits ? toBiasRow(own, weight.dims[0] as number) : undefined;
  const sum = add?.outputs[0];
  if (!bias || !sum || graph.outputs.includes(product)) {
    return { node, x, weight, bias: undefined, storedBias: undefined, output: product, rows };
  }
  return { node, x, weight, bias, storedBias: addend, output: sum, rows };
}
