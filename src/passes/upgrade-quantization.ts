/** QuantizeLinear and DequantizeLinear of operator sets 19 to 25 as set 18 has them. */

import { isStatic } from '../graph/dims.js';
import { findDtype, getElementTypeName, getElementTypeNumber } from '../graph/element-types.js';
import type { Graph, Node, Value } from '../graph/model.js';
import type { GraphBuilder } from '../ops/builder.js';
import { quantizedRanges } from '../ops/quantization.js';
import { castLike, numberLike } from '../ops/terms.js';
import { countElements, normalizeAxis } from '../tensor/dims.js';
import { float32, type Tensor, zeros } from '../tensor/tensor.js';
import { getNumberAttribute } from './node-attributes.js';
import type { PassResult } from './pass.js';
import { rewrite } from './rewrite.js';
import { copyWithoutAttributes, createNodeError, getNodeNames, type Inputs, type Upgrade } from './upgrade.js';

/** How float8 overflows, and the element type that results are kept in, are of no concern here. */
const newerAttributes = ['saturate', 'block_size', 'output_dtype', 'precision'];

/** A number for each block along an axis as one for each element, float32. */
function spreadBlocks(node: Node, blocks: Tensor, dims: readonly number[], axis: number, block: number): Tensor {
  const [size = 1, count = 1] = [dims[axis], blocks.dims[axis]];
  const fits = blocks.dims.length === dims.length && Math.ceil(size / block) === count;
  if (!fits || blocks.dims.some((length, at) => at !== axis && length !== dims[at])) {
    throw createNodeError(
      node,
      `blocks of ${block} of [${dims.join(', ')}] do not have scales [${blocks.dims.join(', ')}].`,
    );
  }
  const inner = countElements(dims.slice(axis + 1));
  const numbers = Array.from<number | bigint, number>(blocks.data, Number);
  const values = Float32Array.from({ length: countElements(dims) }, (_, i) => {
    const at = Math.floor((Math.floor(i / inner) % size) / block);
    return numbers[(Math.floor(i / (inner * size)) * count + at) * inner + (i % inner)] ?? Number.NaN;
  });
  return float32(values, dims);
}

/** Scale and zero point of a node that quantises in blocks, one of each for every element. */
function readBlockGrid(node: Node, [x, scaleInput, zeroInput]: Inputs, b: GraphBuilder, block: number) {
  const scale = scaleInput && b.findTensor(scaleInput);
  const zero = zeroInput && b.findTensor(zeroInput);
  const dims = x?.type?.dims;
  if (!x || !scale || (zeroInput && !zero) || !dims || !isStatic(dims)) {
    throw createNodeError(
      node,
      'blocks (block_size) need constant scales and fixed dimensions. Export the model without blocks.',
    );
  }
  const axis = normalizeAxis(getNumberAttribute(node.attributes, 'axis') ?? 1, dims.length);
  const constant = (tensor: Tensor) => b.initializer('constant/blocks', spreadBlocks(node, tensor, dims, axis, block));
  return { x, scale: constant(scale), zero: zero && constant(zero) };
}

export const dequantizeLinear: Upgrade = (node, inputs, b) => {
  const block = getNumberAttribute(node.attributes, 'block_size') ?? 0;
  if (block === 0)
    return newerAttributes.some((name) => node.attributes[name])
      ? copyWithoutAttributes(node, inputs, b, newerAttributes)
      : undefined;
  const { x, scale, zero } = readBlockGrid(node, inputs, b, block);
  const own = { name: node.name };
  const stored = b.findTensor(x);
  if (stored) {
    // A weight: the values that it stands for become its own.
    const [scales, zeroPoints] = [scale, zero].map((value) => value && b.findTensor(value)?.data);
    const values = Array.from<number | bigint, number>(stored.data, Number).map(
      (q, i) => (q - Number(zeroPoints?.[i] ?? 0)) * Number(scales?.[i]),
    );
    return [b.initializer(x.name, float32(values, stored.dims))];
  }
  const number = castLike(b, x, scale);
  const centred = zero ? b.op('Sub', [number, zero], {}, own) : number;
  return [b.op('Mul', [centred, scale], {}, getNodeNames(node))];
};

export const quantizeLinear: Upgrade = (node, inputs, b) => {
  const wanted = getNumberAttribute(node.attributes, 'output_dtype') ?? 0;
  const dtype = wanted === 0 ? (inputs[2]?.type?.dtype ?? 'uint8') : findDtype(wanted);
  const range = dtype && quantizedRanges[dtype];
  if (!dtype || !range) {
    throw createNodeError(
      node,
      `it quantises to ${dtype ?? getElementTypeName(wanted)}, which is not supported; ${Object.keys(quantizedRanges).join(', ')} are.`,
    );
  }
  const block = getNumberAttribute(node.attributes, 'block_size') ?? 0;
  if (block > 0) {
    const own = { name: node.name };
    const { x, scale, zero } = readBlockGrid(node, inputs, b, block);
    const steps = b.op('Round', [b.op('Div', [x, scale], {}, own)], {}, own);
    const shifted: Value = zero ? b.op('Add', [steps, zero], {}, own) : steps;
    const [least, most] = range.map((bound) => numberLike(b, bound, shifted));
    const clipped = b.op('Clip', [shifted, least, most], {}, own);
    return [b.op('Cast', [clipped], { to: getElementTypeNumber(dtype) }, getNodeNames(node))];
  }
  const [x, scale, zero] = inputs;
  const dims = scale?.type?.dims;
  if (zero || dtype === 'uint8' || !dims || !isStatic(dims)) {
    return newerAttributes.some((name) => node.attributes[name])
      ? copyWithoutAttributes(node, inputs, b, newerAttributes)
      : undefined;
  }
  return copyWithoutAttributes(
    node,
    [x, scale, b.initializer('constant/zero_point', zeros(dtype, dims))],
    b,
    newerAttributes,
  );
};

const isWide = (value: Value | undefined): boolean => value?.type?.dtype === 'int16' || value?.type?.dtype === 'uint16';

/** A scale or zero point that broadcasts to `x`: one number, or one for each position along the axis. */
function broadcastAlongAxis(node: Node, value: Value, x: Value, b: GraphBuilder): Value {
  const dims = x.type?.dims ?? [];
  if (value.type?.dims.length !== 1) return value;
  const axis = normalizeAxis(getNumberAttribute(node.attributes, 'axis') ?? 1, Math.max(1, dims.length));
  return b.op('Reshape', [value, b.ints(dims.map((_, at) => (at === axis ? -1 : 1)))], {}, { name: node.name });
}

/**
 * A graph of operator set 18 without QuantizeLinear and DequantizeLinear of 16 bits, which came in set 21: what
 * `dequantize` left of them, in operators of set 18.
 */
export function spellOutWideIntegers(graph: Graph): PassResult {
  const isQuantization = ({ op }: Node) => op === 'QuantizeLinear' || op === 'DequantizeLinear';
  if (!graph.nodes.some(isQuantization)) return { graph, notes: [] };
  const spelledOut = rewrite(graph, {
    node(node, [x, scaleInput, zeroInput], b) {
      const own = { name: node.name };
      if (!x || !scaleInput) return undefined;
      if (node.op === 'DequantizeLinear' && isWide(x)) {
        const scale = broadcastAlongAxis(node, scaleInput, x, b);
        const number = castLike(b, x, scale);
        const zero = zeroInput && broadcastAlongAxis(node, castLike(b, zeroInput, scale), x, b);
        return [b.op('Mul', [zero ? b.op('Sub', [number, zero], {}, own) : number, scale], {}, getNodeNames(node))];
      }
      const dtype = zeroInput?.type?.dtype;
      const range = dtype && quantizedRanges[dtype];
      if (node.op !== 'QuantizeLinear' || !isWide(zeroInput) || !dtype || !range) return undefined;
      const steps = b.op('Round', [b.op('Div', [x, broadcastAlongAxis(node, scaleInput, x, b)], {}, own)], {}, own);
      const zero = broadcastAlongAxis(node, castLike(b, zeroInput ?? scaleInput, x), x, b);
      const [least, most] = range.map((bound) => numberLike(b, bound, x));
      const clipped = b.op('Clip', [b.op('Add', [steps, zero], {}, own), least, most], {}, own);
      return [b.op('Cast', [clipped], { to: getElementTypeNumber(dtype) }, getNodeNames(node))];
    },
  });
  return { graph: spelledOut, notes: [] };
}
