/** Operators on shapes, indices, windows and grids, as each operator set has them. */
import { float32, int64, tensor } from '../../src/tensor/tensor.js';
import {
  constant,
  constants,
  fed,
  float,
  int,
  integers,
  ints,
  type NodeCase,
  number,
  same,
  text,
  unary,
  weight,
} from './node-case.js';

/** Axes that were an attribute until 12. */
const withAxes = (x: readonly number[], ...axes: number[]): NodeCase => ({
  since: 7,
  form: (opset) =>
    opset < 13 ? { inputs: [fed(x)], attributes: { axes: ints(...axes) } } : { inputs: [fed(x), constants(...axes)] },
});

export const shape: Readonly<Record<string, NodeCase>> = {
  Flatten: unary(7, { axis: int(2) }),
  Reshape: same(7, { inputs: [fed([2, 3, 4]), constants(0, -1)] }),
  'Reshape, zeros allowed': same(14, { inputs: [fed([2, 3, 4]), constants(4, 6)], attributes: { allowzero: int(1) } }),
  Transpose: unary(7, { perm: ints(2, 0, 1) }),
  Concat: same(7, { inputs: [fed([2, 3]), fed([2, 1])], attributes: { axis: int(1) } }),
  Split: {
    since: 7,
    form: (opset) =>
      opset < 13
        ? { inputs: [fed([2, 3])], attributes: { axis: int(1), split: ints(1, 2) }, outputs: 2 }
        : { inputs: [fed([2, 3]), constants(1, 2)], attributes: { axis: int(1) }, outputs: 2 },
  },
  'Split in equal parts': {
    since: 7,
    form: (opset) => ({
      inputs: [fed([2, 4])],
      attributes: { axis: int(1), ...(opset < 18 ? {} : { num_outputs: int(2) }) },
      outputs: 2,
    }),
  },
  Slice: {
    since: 7,
    form: (opset) =>
      opset < 10
        ? { inputs: [fed([4, 5])], attributes: { starts: ints(1, -3), ends: ints(3, 5), axes: ints(0, 1) } }
        : { inputs: [fed([4, 5]), constants(1, -3), constants(3, 5), constants(0, 1)] },
  },
  Squeeze: withAxes([2, 1, 3], 1),
  Unsqueeze: withAxes([2, 3], 0, 2),
  Expand: same(8, { inputs: [fed([3, 1]), constants(2, 1, 4)] }),
  Tile: same(7, { inputs: [fed([2, 3]), constants(2, 1)] }),
  Pad: {
    since: 7,
    form: (opset) =>
      opset < 11
        ? { inputs: [fed([2, 3])], attributes: { pads: ints(0, 1, 1, 0), value: float(1.5) } }
        : { inputs: [fed([2, 3]), constants(0, 1, 1, 0), number(1.5)] },
  },
  'Pad, axes': same(18, { inputs: [fed([2, 3]), constants(1, 2), number(1.5), constants(1)] }),
  'Pad, wrapped': same(19, { inputs: [fed([2, 3]), constants(0, 1, 0, 2)], attributes: { mode: text('wrap') } }),
  'Pad, wrapped around more than once': same(19, {
    inputs: [fed([2, 3]), constants(1, -1, 0, 7)],
    attributes: { mode: text('wrap') },
  }),
  Size: unary(7),
  Shape: unary(7),
  'Shape, a part': unary(15, { start: int(1), end: int(-1) }),
  CenterCropPad: same(18, { inputs: [fed([1, 3, 5, 2]), constants(2, 5)], attributes: { axes: ints(2, 3) } }),
};

const indices = constant(int64([0, 2, 1, 0], [2, 2]));

export const indexing: Readonly<Record<string, NodeCase>> = {
  Gather: same(7, { inputs: [fed([4, 3]), constants(2, 0, 1)] }),
  GatherElements: same(11, { inputs: [fed([2, 3]), indices], attributes: { axis: int(1) } }),
  GatherND: same(11, { inputs: [fed([2, 3]), constant(int64([0, 2, 1, 0], [2, 2]))] }),
  ScatterElements: same(11, { inputs: [fed([2, 3]), indices, fed([2, 2])], attributes: { axis: int(1) } }),
  Scatter: same(9, { inputs: [fed([2, 3]), indices, fed([2, 2])], attributes: { axis: int(1) } }, 10),
  ScatterND: same(11, { inputs: [fed([3, 2]), constant(int64([2, 0], [2, 1])), fed([2, 2])] }),
  TopK: {
    since: 7,
    form: (opset) =>
      opset < 10
        ? { inputs: [fed([2, 5])], attributes: { k: int(3) }, outputs: 2 }
        : { inputs: [fed([2, 5]), constants(3)], outputs: 2 },
  },
  OneHot: same(9, { inputs: [integers([0, 2, 1]), constant(int64([3], [])), constant(float32([0, 1]))] }),
  Trilu: same(14, { inputs: [fed([3, 4])], attributes: { upper: int(0) } }),
  ReverseSequence: same(10, { inputs: [fed([3, 2]), constants(2, 3)] }),
  NonZero: unary(9, {}, fed([2, 3])),
  ConstantOfShape: same(9, {
    inputs: [constants(2, 3)],
    attributes: { value: { type: 'tensor', value: float32([1.5]) } },
  }),
  EyeLike: unary(9, { k: int(1) }, fed([3, 4])),
  Range: {
    since: 11,
    form: (opset) => ({
      inputs: [number(1), number(4), number(0.5)],
      ...(opset >= 27 ? { attributes: { stash_type: int(1) } } : {}),
    }),
  },
};

const window = { kernel_shape: ints(3, 2), strides: ints(2, 1), pads: ints(1, 0, 1, 1) };
const image = [1, 2, 5, 6];

/** The last windows may reach beyond the padding. */
const ceil = { ...window, ceil_mode: int(1) };

export const convolution: Readonly<Record<string, NodeCase>> = {
  Conv: same(7, { inputs: [fed(image), weight([4, 2, 3, 2]), weight([4])], attributes: window }),
  ConvTranspose: same(7, { inputs: [fed(image), weight([2, 3, 3, 2]), weight([3])], attributes: window }),
  MaxPool: unary(7, window, fed(image)),
  'MaxPool with its indices': same(8, { inputs: [fed(image)], attributes: window, outputs: 2 }),
  'MaxPool, ceil mode': unary(10, ceil, fed(image)),
  AveragePool: unary(7, { ...window, count_include_pad: int(1) }, fed(image)),
  'AveragePool, ceil mode': unary(10, ceil, fed(image)),
  'AveragePool, ceil mode, padding counted': unary(10, { ...ceil, count_include_pad: int(1) }, fed(image)),
  'AveragePool, dilated': unary(19, { ...window, dilations: ints(1, 2) }, fed(image)),
  GlobalAveragePool: unary(7, {}, fed(image)),
  GlobalMaxPool: unary(7, {}, fed(image)),
  LpPool: unary(7, { ...window, p: int(2) }, fed(image)),
  'LpPool, ceil mode': unary(18, { ...ceil, p: int(2) }, fed(image)),
  'LpPool, dilated': unary(18, { ...window, dilations: ints(1, 2) }, fed(image)),
  GlobalLpPool: { ...unary(7, { p: int(2) }, fed(image)), runsUntil: 21 },
  MaxUnpool: same(9, {
    inputs: [fed([1, 1, 2, 2]), constant(int64([5, 7, 13, 15], [1, 1, 2, 2]))],
    attributes: { kernel_shape: ints(2, 2), strides: ints(2, 2) },
  }),
  Col2Im: same(18, { inputs: [fed([2, 8, 6]), constants(4, 5), constants(2, 2)], attributes: { strides: ints(1, 2) } }),
};

const half = constant(float32([1, 1, 2, 1.5]));

export const resample: Readonly<Record<string, NodeCase>> = {
  Upsample: {
    since: 7,
    until: 9,
    form: (opset) =>
      opset < 9
        ? { inputs: [fed(image)], attributes: { scales: { type: 'floats', value: [1, 1, 2, 1.5] } } }
        : { inputs: [fed(image), half] },
  },
  Resize: {
    since: 10,
    form: (opset) =>
      opset < 11
        ? { inputs: [fed(image), half], attributes: { mode: text('linear') } }
        : { inputs: [fed(image), constant(float32([])), half], attributes: { mode: text('linear') } },
  },
  'Resize, antialiased': same(18, {
    inputs: [fed(image), undefined, undefined, constants(3, 4)],
    attributes: { mode: text('cubic'), antialias: int(1), axes: ints(2, 3) },
  }),
  'Resize, symmetric': same(19, {
    inputs: [fed(image), undefined, half],
    attributes: { mode: text('linear'), coordinate_transformation_mode: text('half_pixel_symmetric') },
  }),
  ...Object.fromEntries(
    (['bilinear', 'nearest', 'bicubic'] as const).map((mode, i) => [
      `GridSample, ${mode}`,
      {
        since: 16,
        form: (opset) => ({
          inputs: [fed(image), fed([1, 3, 4, 2], -1.5, 1.5)],
          attributes: {
            mode: text(opset < 20 ? mode : mode.replace(/^bi/, '')),
            padding_mode: text(['zeros', 'border', 'reflection'][i] ?? 'zeros'),
            align_corners: int(i % 2),
          },
        }),
      } satisfies NodeCase,
    ]),
  ),
  AffineGrid: same(20, { inputs: [fed([2, 2, 3]), constants(2, 1, 3, 4)] }),
  'AffineGrid, corners aligned': same(20, {
    inputs: [fed([2, 2, 3]), constants(2, 1, 3, 4)],
    attributes: { align_corners: int(1) },
  }),
  DepthToSpace: unary(7, { blocksize: int(2) }, fed([1, 8, 2, 3])),
  SpaceToDepth: unary(7, { blocksize: int(2) }, fed([1, 2, 4, 6])),
};

const bytes = tensor('int8', [2, 4], Int8Array.of(1, -2, 3, -4, 5, -6, 7, -8));
const fedBytes = { data: bytes, constant: false };
const wide = { data: tensor('uint16', [2, 3], Uint16Array.of(0, 1, 2, 3000, 40000, 65535)), constant: false };
const zero = constant(tensor('uint8', [], Uint8Array.of(100)));

export const quantization: Readonly<Record<string, NodeCase>> = {
  QuantizeLinear: same(10, { inputs: [fed([2, 4]), number(0.05), zero] }),
  'QuantizeLinear to int8 by its attribute': same(21, {
    inputs: [fed([2, 4]), number(0.05)],
    attributes: { output_dtype: int(3) },
  }),
  'QuantizeLinear to 16 bits': same(21, {
    inputs: [fed([2, 4]), weight([4], 0.001, 0.002), constant(tensor('int16', [4], Int16Array.of(0, 5, -7, 30000)))],
    attributes: { axis: int(1) },
  }),
  'DequantizeLinear of 16 bits': same(21, {
    inputs: [wide, weight([2]), constant(tensor('uint16', [2], Uint16Array.of(3, 1000)))],
    attributes: { axis: int(0) },
  }),
  'QuantizeLinear in blocks': same(21, {
    inputs: [fed([2, 4]), weight([2, 2], 0.02, 0.05)],
    attributes: { axis: int(1), block_size: int(2), output_dtype: int(3) },
  }),
  DequantizeLinear: same(10, { inputs: [fedBytes, number(0.5)] }),
  'DequantizeLinear of a weight that is an output': same(10, { inputs: [constant(bytes), number(0.5)] }),
  'DequantizeLinear, newer attributes': same(23, {
    inputs: [fedBytes, number(0.5)],
    attributes: { output_dtype: int(1) },
  }),
  'DequantizeLinear in blocks': same(21, {
    inputs: [constant(bytes), weight([2, 2]), constant(tensor('int8', [2, 2], Int8Array.of(1, 0, -1, 2)))],
    attributes: { axis: int(1), block_size: int(2) },
  }),
  'DequantizeLinear of activations in blocks': same(21, {
    inputs: [fedBytes, weight([2, 2]), constant(tensor('int8', [2, 2], Int8Array.of(1, 0, -1, 2)))],
    attributes: { axis: int(1), block_size: int(2) },
  }),
};
