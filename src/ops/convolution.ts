import type { Dim } from '../graph/model.js';
import { countElements, range } from '../tensor/dims.js';
import { describeInput, expectVector } from './expect.js';
import { defineOp, type InferContext, int, ints, makeValueType, type ParsedAttributes, string } from './spec.js';

const windowAttributes = {
  auto_pad: string('NOTSET'),
  kernel_shape: ints,
  strides: ints,
  pads: ints,
  dilations: ints,
};

const transposeAttributes = { ...windowAttributes, group: int(1), output_padding: ints, output_shape: ints };

const poolAttributes = { ...windowAttributes, ceil_mode: int(0) };

/** A sliding window with every default filled in. `pads` is `[begin…, end…]` as in ONNX. */
export interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly pads: readonly number[];
  readonly dilations: readonly number[];
}

/**
 * The window of a convolution or pooling node, `auto_pad` resolved against the input's spatial dimensions.
 *
 * @param spatial input height, width, …; needed only for `SAME_UPPER` and `SAME_LOWER`.
 */
export function readWindow(
  attributes: ParsedAttributes<typeof windowAttributes>,
  kernel: readonly number[],
  spatial: readonly Dim[],
): Window {
  const ones = kernel.map(() => 1);
  const strides = attributes.strides ?? ones;
  const dilations = attributes.dilations ?? ones;
  const pads = [...(attributes.pads ?? [...ones, ...ones].map(() => 0))];
  if (attributes.auto_pad === 'SAME_UPPER' || attributes.auto_pad === 'SAME_LOWER') {
    for (const [axis, size] of spatial.entries()) {
      if (typeof size !== 'number') continue;
      const stride = strides[axis] ?? 1;
      const extent = ((kernel[axis] ?? 1) - 1) * (dilations[axis] ?? 1) + 1;
      const total = Math.max(0, (Math.ceil(size / stride) - 1) * stride + extent - size);
      const small = Math.floor(total / 2);
      const [begin, end] = attributes.auto_pad === 'SAME_UPPER' ? [small, total - small] : [total - small, small];
      pads[axis] = begin;
      pads[axis + kernel.length] = end;
    }
  }
  return { kernel, strides, pads, dilations };
}

/**
 * The window of a transposed convolution, whose output is what a convolution with this window would read, and the
 * output's spatial dimensions. A given or `auto_pad`ded output size decides the padding, as ONNX defines.
 */
export function readTransposedWindow(
  attributes: ParsedAttributes<typeof transposeAttributes>,
  kernel: readonly number[],
  spatial: readonly Dim[],
): { readonly window: Window; readonly output: readonly Dim[] } {
  const window = readWindow({ ...attributes, auto_pad: 'NOTSET' }, kernel, []);
  const pads = [...window.pads];
  const same = attributes.auto_pad === 'SAME_UPPER' || attributes.auto_pad === 'SAME_LOWER';
  const output = spatial.map((size, axis): Dim => {
    if (typeof size !== 'number') return attributes.output_shape?.[axis] ?? '?';
    const stride = window.strides[axis] ?? 1;
    const extent = ((kernel[axis] ?? 1) - 1) * (window.dilations[axis] ?? 1) + 1;
    const full = stride * (size - 1) + (attributes.output_padding?.[axis] ?? 0) + extent;
    const wanted = attributes.output_shape?.[axis] ?? (same ? size * stride : undefined);
    if (wanted === undefined) return full - (pads[axis] ?? 0) - (pads[axis + kernel.length] ?? 0);
    const total = Math.max(0, full - wanted);
    const small = Math.floor(total / 2);
    const [begin, end] = attributes.auto_pad === 'SAME_UPPER' ? [small, total - small] : [total - small, small];
    pads[axis] = begin;
    pads[axis + kernel.length] = end;
    return wanted;
  });
  return { window: { ...window, pads }, output };
}

/** How many positions a window takes along one axis; `ceil`: a last one that reaches beyond the padding counts too. */
export function countWindowPositions(window: Window, axis: number, size: number, ceil: boolean): number {
  const { kernel, strides, pads, dilations } = window;
  const stride = strides[axis] ?? 1;
  const begin = pads[axis] ?? 0;
  const extent = ((kernel[axis] ?? 1) - 1) * (dilations[axis] ?? 1) + 1;
  const room = size + begin + (pads[axis + kernel.length] ?? 0) - extent;
  const count = (ceil ? Math.ceil(room / stride) : Math.floor(room / stride)) + 1;
  // A window that ceil_mode adds may not start inside the end padding (as PyTorch and ONNX 1.16 define it).
  return ceil && (count - 1) * stride >= size + begin ? count - 1 : count;
}

/** Output size of a window along each spatial axis. */
function computeWindowOutputDims(window: Window, spatial: readonly Dim[], ceil: boolean): Dim[] {
  return spatial.map((size, axis) => (typeof size === 'number' ? countWindowPositions(window, axis, size, ceil) : '?'));
}

/**
 * An average pooling along one axis as a matrix, `[outputs, size]`: how much each position contributes to each output.
 * Rows sum to 1 or, where padding counts, less.
 */
export function buildAveragePoolMatrix(
  window: Window,
  axis: number,
  size: number,
  outputs: number,
  countPadding: boolean,
): number[] {
  const matrix = new Array<number>(outputs * size).fill(0);
  const [begin, end] = [window.pads[axis] ?? 0, window.pads[axis + window.kernel.length] ?? 0];
  for (let o = 0; o < outputs; o++) {
    const taps = range(window.kernel[axis] ?? 1).map(
      (k) => o * (window.strides[axis] ?? 1) - begin + k * (window.dilations[axis] ?? 1),
    );
    const inside = taps.filter((i) => i >= 0 && i < size);
    // With ceil_mode a window may reach beyond the padding; what lies there is never counted.
    const counted = countPadding ? taps.filter((i) => i >= -begin && i < size + end) : inside;
    for (const i of inside) matrix[o * size + i] = 1 / counted.length;
  }
  return matrix;
}

function inferPoolDims(c: InferContext<ParsedAttributes<typeof poolAttributes>>): Dim[] {
  const { dims } = c.type(0);
  const kernel = c.attributes.kernel_shape;
  if (!kernel) throw c.fail('attribute "kernel_shape" is missing.');
  const spatial = dims.slice(2);
  if (kernel.length !== spatial.length) {
    throw c.fail(`kernel_shape has ${kernel.length} axes for ${spatial.length} spatial dimensions.`);
  }
  const out = computeWindowOutputDims(readWindow(c.attributes, kernel, spatial), spatial, c.attributes.ceil_mode === 1);
  if (out.some((size) => typeof size === 'number' && size < 1)) throw c.fail('the window is larger than its input.');
  return [...dims.slice(0, 2), ...out];
}

const globalPool = defineOp({
  attributes: {},
  inputs: [1, 1],
  infer(c) {
    const { dtype, dims } = c.type(0);
    return [makeValueType(dtype, [...dims.slice(0, 2), ...dims.slice(2).map(() => 1)])];
  },
});

/** Convolutions and poolings, `[N, C, spatial…]`. */
export const convolution = {
  Conv: defineOp({
    attributes: { ...windowAttributes, group: int(1) },
    inputs: [2, 3],
    infer(c) {
      const [x, w] = [c.type(0), c.type(1)];
      const kernel = w.dims.slice(2);
      if (!kernel.every((size) => typeof size === 'number')) throw c.fail('the kernel dimensions are not known.');
      if (x.dims.length !== w.dims.length) {
        throw c.fail(
          `${describeInput(c, 1, 'weight')} has ${w.dims.length} axes, ${describeInput(c, 0, 'input')} has ${x.dims.length}.`,
        );
      }
      const channels = w.dims[1];
      if (
        typeof channels === 'number' &&
        typeof x.dims[1] === 'number' &&
        channels * c.attributes.group !== x.dims[1]
      ) {
        throw c.fail(
          `${describeInput(c, 1, 'weight')} takes ${channels * c.attributes.group} channels (${c.attributes.group} × ${channels}), ${describeInput(c, 0, 'input')} has ${x.dims[1]}.`,
        );
      }
      expectVector(c, 2, 'bias', w.dims[0], 'output channels');
      const spatial = x.dims.slice(2);
      const out = computeWindowOutputDims(readWindow(c.attributes, kernel, spatial), spatial, false);
      if (out.some((size) => typeof size === 'number' && size < 1))
        throw c.fail('the kernel is larger than its input.');
      return [makeValueType(x.dtype, [x.dims[0] ?? 1, w.dims[0] ?? 1, ...out])];
    },
    countOperatorMacs: (_, [, w], output) => countElements(output) * countElements(w?.slice(1) ?? []),
  }),
  ConvTranspose: defineOp({
    attributes: transposeAttributes,
    inputs: [2, 3],
    infer(c) {
      const [x, w] = [c.type(0), c.type(1)];
      const kernel = w.dims.slice(2);
      if (!kernel.every((size) => typeof size === 'number')) throw c.fail('the kernel dimensions are not known.');
      const out = readTransposedWindow(c.attributes, kernel, x.dims.slice(2)).output;
      const channels = w.dims[1];
      if (typeof w.dims[0] === 'number' && typeof x.dims[1] === 'number' && w.dims[0] !== x.dims[1]) {
        throw c.fail(
          `${describeInput(c, 1, 'weight')} takes ${w.dims[0]} channels, ${describeInput(c, 0, 'input')} has ${x.dims[1]}.`,
        );
      }
      if (typeof channels === 'number') {
        expectVector(c, 2, 'bias', channels * c.attributes.group, 'output channels');
      }
      return [
        makeValueType(x.dtype, [
          x.dims[0] ?? 1,
          typeof channels === 'number' ? channels * c.attributes.group : '?',
          ...out,
        ]),
      ];
    },
    countOperatorMacs: (_, [x, w]) => countElements(x ?? []) * countElements(w?.slice(1) ?? []),
  }),
  MaxPool: defineOp({
    attributes: { ...poolAttributes, storage_order: int(0) },
    inputs: [1, 1],
    infer(c) {
      const dims = inferPoolDims(c);
      return [makeValueType(c.type(0).dtype, dims), makeValueType('int64', dims)];
    },
  }),
  AveragePool: defineOp({
    attributes: { ...poolAttributes, count_include_pad: int(0) },
    inputs: [1, 1],
    infer: (c) => [makeValueType(c.type(0).dtype, inferPoolDims(c))],
  }),
  GlobalAveragePool: globalPool,
  GlobalMaxPool: globalPool,
  MaxUnpool: defineOp({
    attributes: { kernel_shape: ints, pads: ints, strides: ints },
    inputs: [2, 3],
    infer(c) {
      const { dtype, dims } = c.type(0);
      const { kernel_shape: kernel, strides, pads } = c.attributes;
      if (!kernel) throw c.fail('attribute "kernel_shape" is missing.');
      const out = dims.slice(2).map((size, axis) => {
        const padding = (pads?.[axis] ?? 0) + (pads?.[axis + kernel.length] ?? 0);
        return typeof size === 'number' ? (size - 1) * (strides?.[axis] ?? 1) + (kernel[axis] ?? 1) - padding : '?';
      });
      // The third input decides what several input sizes would give.
      const shape = c.constant(2);
      if (!shape && c.types[2]) throw c.fail('its output shape must be a constant.');
      return [makeValueType(dtype, shape ?? [...dims.slice(0, 2), ...out])];
    },
  }),
};
