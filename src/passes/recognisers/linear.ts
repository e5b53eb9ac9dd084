/*
 * Recognises linear layers y = x Wᵀ + b along the last axis of x, however a graph writes them: Gemm, MatMul or Einsum with
 * a constant matrix, the bias in the node or in an Add downstream of it.
 */
import { countElementsPer } from '../../graph/dims.js';
import type { Graph, Node, Value } from '../../graph/model.js';
import type { Uses } from '../../graph/uses.js';
import { parseEinsum } from '../../ops/einsum.js';
import { type AttributesOf, readAttributes } from '../../ops/table.js';
import { float32, type Tensor, tensor } from '../../tensor/tensor.js';
import { at } from '../../values.js';
import { readFloat32Initializer } from './stored-tensor.js';

/** Lists the operators that may be linear layers. */
export const linearOperators: ReadonlySet<string> = new Set(['Gemm', 'MatMul', 'Einsum']);

/** Holds a linear layer whose weights are constant. */
export interface LinearLayer {
  readonly node: Node;
  readonly x: Value;
  /** y, with the bias. */
  readonly output: Value;
  /** `[out, in]`. */
  readonly weight: Tensor<'float32'>;
  /** `[out]`. */
  readonly bias: Tensor<'float32'> | undefined;
  /** The initializer that the bias is stored in. */
  readonly storedBias: Value | undefined;
  /** Number of rows of one image: 1, or its tokens. */
  readonly rows: number;
}

/** Returns the matrix with its axes exchanged and its elements multiplied by a factor. */
function transposeAndScale({ dims, data }: Tensor<'float32'>, factor: number): Tensor<'float32'> {
  const [rows, columns] = dims as [number, number];
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

/** Finds another node that reads a weight of this one, by name: to decompose the weight would store it twice. */
export function findOtherReader(graph: Graph, node: Node, uses: Uses): string | undefined {
  for (const input of node.inputs) {
    const matrix = input && (graph.initializers.get(input)?.dims.length ?? 0) > 1;
    const other = matrix && uses.consumers(input).find((reader) => reader !== node);
    if (other) return other.name;
  }
  return undefined;
}

/** Returns a bias as `[out]`: one number for all outputs is repeated. `undefined` where it differs by row. */
function toBiasRow(data: Tensor<'float32'>, outputs: number): Tensor<'float32'> | undefined {
  if (data.dims.slice(0, -1).some((size) => size !== 1)) return undefined;
  if (data.data.length === outputs) return float32(data.data, [outputs]);
  return data.data.length === 1 ? float32(new Float32Array(outputs).fill(data.data[0] as number)) : undefined;
}

/** Holds the factors of a product: the input, and the weight `[out, in]`. */
interface LinearProduct {
  readonly x: Value;
  readonly weight: Tensor<'float32'>;
}

/** Reads x and W of a MatMul or Einsum of two factors, or says what else it is. */
function readLinearProduct(graph: Graph, node: Node): LinearProduct | string {
  const [left, right] = node.inputs;
  const x = readFloat32Initializer(graph, left) ? right : left;
  const stored = readFloat32Initializer(graph, left) ?? readFloat32Initializer(graph, right);
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

/** Holds the parts of a Gemm y = α op(x) op(W) + β b with a constant float32 weight. */
export interface Gemm {
  readonly kind: 'gemm';
  readonly node: Node;
  readonly x: Value;
  readonly output: Value;
  /** As it is stored: `[out, in]` where `transB` is set, else `[in, out]`. */
  readonly weight: Tensor<'float32'>;
  readonly storedWeight: Value;
  /** As it is stored: it broadcasts to `[rows, out]`. */
  readonly bias: Tensor<'float32'> | undefined;
  readonly storedBias: Value | undefined;
  readonly inputs: number;
  readonly outputs: number;
  readonly attributes: AttributesOf<'Gemm'>;
}

/** Reads a Gemm; a string says why it is none whose weights are known. */
export function readGemm(graph: Graph, node: Node): Gemm | string {
  const [x, storedWeight, storedBias] = node.inputs;
  const [output] = node.outputs;
  if (node.op !== 'Gemm' || !x || !output) return 'it is no Gemm';
  const weight = readFloat32Initializer(graph, storedWeight);
  if (!weight || !storedWeight) return 'its weight is no float32 constant';
  if (graph.initializers.has(x)) return 'its weight stands on the left, and mixes rows instead of features';
  const attributes = readAttributes('Gemm', node);
  if (attributes.transA) return 'its Gemm transposes its input';
  const bias = readFloat32Initializer(graph, storedBias);
  if (storedBias && !bias) return 'its bias is no float32 constant';
  const [rows, columns] = weight.dims as [number, number];
  const [outputs, inputs] = attributes.transB ? [rows, columns] : [columns, rows];
  return { kind: 'gemm', node, x, output, weight, storedWeight, bias, storedBias, inputs, outputs, attributes };
}

/** Returns the axis of a layer's weight that counts its outputs; `undefined` for a node without such a weight. */
export function getOutputAxis(node: Node, rank: number): number | undefined {
  if (node.op === 'Gemm') return readAttributes('Gemm', node).transB ? 0 : 1;
  if (node.op === 'MatMul') return rank - 1;
  return node.op === 'Conv' ? 0 : undefined;
}

/** Whether a Gemm scales neither its product nor its bias. */
export const isPlainGemm = ({ attributes: { alpha, beta } }: Gemm): boolean => alpha === 1 && beta === 1;

/** Reads the matrix and the bias of a Gemm in the form of a linear layer. */
function readGemmProduct(gemm: Gemm): (LinearProduct & Pick<LinearLayer, 'bias'>) | string {
  const { x, bias: stored, outputs, attributes } = gemm;
  const { alpha, beta, transB } = attributes;
  const weight = transB ? scaleTensor(gemm.weight, alpha) : transposeAndScale(gemm.weight, alpha);
  const bias = stored && toBiasRow(stored, outputs);
  if (stored && !bias) return 'its bias differs by row';
  return { x, weight, bias: bias && scaleTensor(bias, beta) };
}

/**
 * Reads a node as a linear layer.
 *
 * @param node Gemm, MatMul or Einsum.
 * @returns the layer, or why it is none; `undefined` for a product of two activations.
 */
export function readLinear(graph: Graph, node: Node, uses: Uses): LinearLayer | string | undefined {
  if (!node.inputs.some((input) => input && graph.initializers.has(input))) return undefined;
  const [product] = node.outputs;
  const read = node.op === 'Gemm' ? readGemm(graph, node) : undefined;
  const gemm = typeof read === 'object' ? readGemmProduct(read) : read;
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
  const own = readFloat32Initializer(graph, addend);
  const fits = own && own.dims.length > 0 && own.dims.length <= dims.length;
  const bias = fits ? toBiasRow(own, at(weight.dims, 0)) : undefined;
  const sum = add?.outputs[0];
  if (!bias || !sum || graph.outputs.includes(product)) {
    return { node, x, weight, bias: undefined, storedBias: undefined, output: product, rows };
  }
  return { node, x, weight, bias, storedBias: addend, output: sum, rows };
}
