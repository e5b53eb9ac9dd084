/** Operators on grids and windows that operator set 18 does not have, or that have no gradient there, in operators that have both. */
import { isStatic } from '../graph/dims.js';
import type { Dim, Node, Value } from '../graph/model.js';
import type { GraphBuilder } from '../ops/builder.js';
import { castLike, numberLike } from '../ops/terms.js';
import { countElements, normalizeAxis, range } from '../tensor/dims.js';
import { float32, tensor } from '../tensor/tensor.js';
import { getIntsAttribute, getNumberAttribute } from './node-attributes.js';
import { createNodeError, getNodeNames, type Inputs, type Upgrade } from './upgrade.js';

/** The first input with its dimensions. */
function getTypedFirstInput(node: Node, [x]: Inputs): { readonly x: Value; readonly dims: readonly Dim[] } {
  if (!x?.type) throw createNodeError(node, 'the dimensions of its input are not known.');
  return { x, dims: x.type.dims };
}

/** A small input of integers that must be known before running. */
function readConstantIntegers(node: Node, inputs: Inputs, i: number, name: string, b: GraphBuilder): readonly number[] {
  const value = inputs[i];
  const known = value && b.findContents(value);
  if (known && isStatic(known)) return known;
  throw createNodeError(node, `its input ${name} must be a constant. Export the model with a fixed image size.`);
}

/** Cuts or pads around the centre; of an odd difference the smaller half is in front. */
export const centerCropPad: Upgrade = (node, inputs, b) => {
  const { x, dims } = getTypedFirstInput(node, inputs);
  const wanted = readConstantIntegers(node, inputs, 1, 'shape', b);
  const axes =
    getIntsAttribute(node.attributes, 'axes')?.map((axis) => normalizeAxis(axis, dims.length)) ?? range(dims.length);
  const own = { name: node.name };
  const [starts, ends, cut]: [number[], number[], number[]] = [[], [], []];
  const pads = range(2 * dims.length).map(() => 0);
  for (const [i, axis] of axes.entries()) {
    const [size, target] = [dims[axis], wanted[i]];
    if (size === target) continue;
    if (typeof size !== 'number' || target === undefined)
      throw createNodeError(node, `axis ${axis} has no fixed size.`);
    const before = Math.floor(Math.abs(size - target) / 2);
    if (size > target) {
      starts.push(before);
      ends.push(before + target);
      cut.push(axis);
    } else {
      pads[axis] = before;
      pads[axis + dims.length] = target - size - before;
    }
  }
  const part = cut.length > 0 ? b.op('Slice', [x, b.ints(starts), b.ints(ends), b.ints(cut)], {}, own) : x;
  return [b.op('Pad', [part, b.ints(pads)], {}, getNodeNames(node))];
};

// Columns [N, C window, positions] back to images [N, C, …]: a transposed convolution whose kernel for column k is 1 at
// position k of the window
export const columnsToImage: Upgrade = (node, inputs, b) => {
  const { x, dims } = getTypedFirstInput(node, inputs);
  const image = readConstantIntegers(node, inputs, 1, 'image_shape', b);
  const block = readConstantIntegers(node, inputs, 2, 'block_shape', b);
  const [, columns] = dims;
  const window = countElements(block);
  const ones = image.map(() => 1);
  const strides = getIntsAttribute(node.attributes, 'strides') ?? ones;
  const dilations = getIntsAttribute(node.attributes, 'dilations') ?? ones;
  const pads = getIntsAttribute(node.attributes, 'pads') ?? [...ones, ...ones].map(() => 0);
  if (typeof columns !== 'number' || columns % window !== 0 || block.length !== image.length) {
    throw createNodeError(node, `its ${columns} rows are not a multiple of the window [${block.join(', ')}].`);
  }
  const room = image.map((size, axis) => {
    const extent = ((block[axis] ?? 1) - 1) * (dilations[axis] ?? 1) + 1;
    return size + (pads[axis] ?? 0) + (pads[axis + image.length] ?? 0) - extent;
  });
  const positions = room.map((size, axis) => Math.floor(size / (strides[axis] ?? 1)) + 1);
  const own = { name: node.name };
  const kernel = range(window * window).map((i) => (Math.floor(i / window) === i % window ? 1 : 0));
  const weight = castLike(b, b.initializer('constant/window', float32(kernel, [window, 1, ...block])), x);
  const split = b.op('Reshape', [x, b.ints([-1, window, ...positions])], {}, own);
  const joined = b.op(
    'ConvTranspose',
    [split, weight],
    // What a stride leaves over at the end belongs to no window.
    { strides, dilations, pads, output_padding: room.map((size, axis) => size % (strides[axis] ?? 1)) },
    own,
  );
  return [b.op('Reshape', [joined, b.ints([-1, columns / window, ...image])], {}, getNodeNames(node))];
};

// grid[n, y, x] = theta[n] [x, y, 1] with x and y from -1 to 1
export const affineGrid: Upgrade = (node, inputs, b) => {
  const { x: theta } = getTypedFirstInput(node, inputs);
  const [, , ...image] = readConstantIntegers(node, inputs, 1, 'size', b);
  const aligned = getNumberAttribute(node.attributes, 'align_corners') === 1;
  const positions = range(countElements(image)).flatMap((i) => {
    const own = image.map((size, axis) => {
      const at = Math.floor(i / countElements(image.slice(axis + 1))) % size;
      return aligned ? (size > 1 ? (2 * at) / (size - 1) - 1 : -1) : (2 * at + 1) / size - 1;
    });
    return [...own.reverse(), 1];
  });
  const own = { name: node.name };
  const rank = image.length;
  const base = castLike(b, b.initializer('constant/grid', float32(positions, [countElements(image), rank + 1])), theta);
  const moved = b.op('MatMul', [base, b.op('Transpose', [theta], { perm: [0, 2, 1] }, own)], {}, own);
  return [b.op('Reshape', [moved, b.ints([0, ...image, rank])], {}, getNodeNames(node))];
};

// Y[j] = product of X[i] over i <= j, as a product over all i of X[i] or 1
export const cumulativeProduct: Upgrade = (node, inputs, b) => {
  const { x, dims } = getTypedFirstInput(node, inputs);
  const axis = normalizeAxis(readConstantIntegers(node, inputs, 1, 'axis', b)[0] ?? 0, dims.length);
  const size = dims[axis];
  if (typeof size !== 'number') throw createNodeError(node, `axis ${axis} has no fixed size.`);
  const [reverse, exclusive] = ['reverse', 'exclusive'].map((name) => getNumberAttribute(node.attributes, name) === 1);
  const counts = (i: number, j: number) => (reverse ? i >= j : i <= j) && !(exclusive && i === j);
  const mask = Uint8Array.from({ length: size * size }, (_, at) => (counts(at % size, Math.floor(at / size)) ? 1 : 0));
  const trailing = dims.slice(axis + 1).map(() => 1);
  const counted = b.initializer('constant/cumulative', tensor('bool', [size, size, ...trailing], mask));
  const own = { name: node.name };
  const factors = b.op(
    'Where',
    [counted, b.op('Unsqueeze', [x, b.ints([axis])], {}, own), numberLike(b, 1, x)],
    {},
    own,
  );
  return [b.op('ReduceProd', [factors, b.ints([axis + 1])], { keepdims: 0 }, getNodeNames(node))];
};

/** Set 20 gave the modes other names, and added images of more than two axes, for which set 18 has no operator. */
export const gridSample: Upgrade = (node, inputs, b) => {
  const { dims } = getTypedFirstInput(node, inputs);
  if (dims.length !== 4) {
    throw createNodeError(node, `it samples images [N, C, H, W]; found [${dims.join(', ')}], which is not supported.`);
  }
  const mode = node.attributes.mode;
  const renamed = mode?.type === 'string' ? renamedSamplingModes[mode.value] : undefined;
  if (!renamed) return undefined;
  return b.copy({ ...node, attributes: { ...node.attributes, mode: { type: 'string', value: renamed } } }, inputs);
};

const renamedSamplingModes: Readonly<Record<string, string>> = { linear: 'bilinear', cubic: 'bicubic' };
