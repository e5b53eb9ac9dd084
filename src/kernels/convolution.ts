/**
 * Convolutions and poolings over any number of spatial axes. The window at output position o covers, with kernel
 * element k, the input position i = o·stride − pad + k·dilation. These triples (o, k, i), the "taps", are worked out
 * once; every kernel here is then a sum or a maximum over them.
 */
import { readTransposedWindow, readWindow, type convolution as specs, type Window } from '../ops/convolution.js';
import { countElements } from '../tensor/dims.js';
import { type Tensor, zeros } from '../tensor/tensor.js';
import {
  expectEntry,
  fromNumbers,
  type Kernels,
  listStridedPositions,
  move,
  readIntegers,
  readNumbers,
  type TensorType,
} from './kernel.js';

/** The taps of output position o are `first[o] … first[o + 1] - 1`. */
interface Taps {
  readonly first: readonly number[];
  /** Flat kernel position of each tap. */
  readonly kernel: readonly number[];
  /** Flat input position of each tap. */
  readonly input: readonly number[];
  /** For each output position, how many kernel elements lie inside the input or its padding. */
  readonly padded: readonly number[];
}

/** The index along each axis of a flat position. */
function unravel(flat: number, dims: readonly number[]): number[] {
  const index: number[] = [];
  let rest = flat;
  for (const dim of [...dims].reverse()) {
    index.unshift(rest % dim);
    rest = Math.floor(rest / dim);
  }
  return index;
}

function listTaps(window: Window, input: readonly number[], output: readonly number[]): Taps {
  const { kernel, strides, pads, dilations } = window;
  const elements = Array.from({ length: countElements(kernel) }, (_, k) => unravel(k, kernel));
  const taps = { first: [0], kernel: [] as number[], input: [] as number[], padded: [] as number[] };
  for (let o = 0; o < countElements(output); o++) {
    const index = unravel(o, output);
    let padded = 0;
    for (const [k, element] of elements.entries()) {
      let position = 0;
      let inside = true;
      let insidePadding = true;
      for (const [axis, size] of input.entries()) {
        const begin = (index[axis] ?? 0) * (strides[axis] ?? 1) - (pads[axis] ?? 0);
        const i = begin + (element[axis] ?? 0) * (dilations[axis] ?? 1);
        inside &&= i >= 0 && i < size;
        insidePadding &&= i < size + (pads[axis + kernel.length] ?? 0);
        position = position * size + i;
      }
      if (insidePadding) padded++;
      if (!inside) continue;
      taps.kernel.push(k);
      taps.input.push(position);
    }
    taps.first.push(taps.kernel.length);
    taps.padded.push(padded);
  }
  return taps;
}

interface PoolAttributes {
  readonly auto_pad: string;
  readonly kernel_shape: readonly number[] | undefined;
  readonly strides: readonly number[] | undefined;
  readonly pads: readonly number[] | undefined;
  readonly dilations: readonly number[] | undefined;
}

/** Calls `visit` for every plane (image n, channel c) and every output position, with the range of its taps. */
function poolWindows(
  attributes: PoolAttributes,
  source: Tensor,
  type: TensorType,
  visit: (window: { plane: number; taps: Taps; from: number; to: number; padded: number }) => number,
): Tensor {
  const spatial = source.dims.slice(2);
  const output = type.dims.slice(2);
  const taps = listTaps(readWindow(attributes, attributes.kernel_shape ?? spatial, spatial), spatial, output);
  const positions = countElements(output);
  const values = new Float64Array(countElements(type.dims));
  for (let i = 0; i < values.length; i++) {
    const o = i % positions;
    values[i] = visit({
      plane: Math.floor(i / positions) * countElements(spatial),
      taps,
      from: taps.first[o] ?? 0,
      to: taps.first[o + 1] ?? 0,
      padded: taps.padded[o] ?? 0,
    });
  }
  return fromNumbers(type, values);
}

const wholeInput: PoolAttributes = {
  auto_pad: 'NOTSET',
  kernel_shape: undefined,
  strides: undefined,
  pads: undefined,
  dilations: undefined,
};

/** Mean over each window; padding counts where `includePadding` says so. */
function averagePool(attributes: PoolAttributes, source: Tensor, type: TensorType, includePadding: boolean): Tensor {
  const x = readNumbers(source);
  return poolWindows(attributes, source, type, ({ plane, taps, from, to, padded }) => {
    let sum = 0;
    for (let t = from; t < to; t++) sum += x[plane + (taps.input[t] as number)] as number;
    return sum / (includePadding ? padded : to - from);
  });
}

/** Position of the first largest element under each window. A NaN is larger than everything, as in PyTorch. */
function argMaxPool(attributes: PoolAttributes, source: Tensor, dims: readonly number[]): Float64Array {
  const x = readNumbers(source);
  const found = poolWindows(attributes, source, { dtype: 'float64', dims }, ({ plane, taps, from, to }) => {
    let best = plane + (taps.input[from] as number);
    for (let t = from + 1; t < to; t++) {
      const i = plane + (taps.input[t] as number);
      if ((x[i] as number) > (x[best] as number) || (Number.isNaN(x[i]) && !Number.isNaN(x[best]))) best = i;
    }
    return best;
  });
  return Float64Array.from(readNumbers(found));
}

function pickMaxima(source: Tensor, type: TensorType, positions: Float64Array): Tensor {
  const result = zeros(type.dtype, type.dims);
  move(
    source,
    positions,
    result,
    positions.map((_, i) => i),
  );
  return result;
}

export const convolution: Kernels<keyof typeof specs> = {
  // Y[n, m, o] = B[m] + Σ over c, k of X[n, c, o·stride − pad + k·dilation] W[m, c, k], c in the group of m
  Conv: (attributes, inputs, types) => {
    const [X, W, type] = [expectEntry(inputs, 0), expectEntry(inputs, 1), expectEntry(types, 0)];
    const [x, w, b] = [readNumbers(X), readNumbers(W), inputs[2] && readNumbers(inputs[2])];
    const [spatial, kernel, output] = [X.dims.slice(2), W.dims.slice(2), type.dims.slice(2)];
    const taps = listTaps(readWindow(attributes, kernel, spatial), spatial, output);
    const [channels = 1, groupChannels = 1, maps = 1] = [X.dims[1], W.dims[1], W.dims[0]];
    const [inputSize, kernelSize, outputSize] = [countElements(spatial), countElements(kernel), countElements(output)];
    const y = new Float64Array(countElements(type.dims));
    for (let i = 0; i < y.length; i++) {
      const o = i % outputSize;
      const m = Math.floor(i / outputSize) % maps;
      const n = Math.floor(i / (outputSize * maps));
      const group = Math.floor(m / (maps / attributes.group));
      let sum = b?.[m] ?? 0;
      for (let c = 0; c < groupChannels; c++) {
        const fromX = (n * channels + group * groupChannels + c) * inputSize;
        const fromW = (m * groupChannels + c) * kernelSize;
        for (let t = taps.first[o] as number; t < (taps.first[o + 1] as number); t++) {
          sum += (x[fromX + (taps.input[t] as number)] as number) * (w[fromW + (taps.kernel[t] as number)] as number);
        }
      }
      y[i] = sum;
    }
    return [fromNumbers(type, y)];
  },
  // The transpose of Conv as a linear map: what Conv gathers from Y into position o, this scatters from o into Y.
  // Y[n, m, o·stride − pad + k·dilation] += X[n, c, o] W[c, m, k], m in the group of c
  ConvTranspose: (attributes, inputs, types) => {
    const [X, W, type] = [expectEntry(inputs, 0), expectEntry(inputs, 1), expectEntry(types, 0)];
    const [x, w, b] = [readNumbers(X), readNumbers(W), inputs[2] && readNumbers(inputs[2])];
    const [spatial, kernel, output] = [X.dims.slice(2), W.dims.slice(2), type.dims.slice(2)];
    const taps = listTaps(readTransposedWindow(attributes, kernel, spatial).window, output, spatial);
    const [channels = 1, groupMaps = 1] = [X.dims[1], W.dims[1]];
    const [inputSize, kernelSize, outputSize] = [countElements(spatial), countElements(kernel), countElements(output)];
    const maps = groupMaps * attributes.group;
    const y = new Float64Array(countElements(type.dims));
    if (b) for (let i = 0; i < y.length; i++) y[i] = b[Math.floor(i / outputSize) % maps] as number;
    for (let i = 0; i < x.length; i++) {
      const o = i % inputSize;
      const c = Math.floor(i / inputSize) % channels;
      const n = Math.floor(i / (inputSize * channels));
      const group = Math.floor(c / (channels / attributes.group));
      for (let m = 0; m < groupMaps; m++) {
        const toY = (n * maps + group * groupMaps + m) * outputSize;
        const fromW = (c * groupMaps + m) * kernelSize;
        for (let t = taps.first[o] as number; t < (taps.first[o + 1] as number); t++) {
          const to = toY + (taps.input[t] as number);
          y[to] = (y[to] as number) + (x[i] as number) * (w[fromW + (taps.kernel[t] as number)] as number);
        }
      }
    }
    return [fromNumbers(type, y)];
  },
  MaxPool: (attributes, inputs, types) => {
    const [X, type, indexType] = [expectEntry(inputs, 0), expectEntry(types, 0), expectEntry(types, 1)];
    const positions = argMaxPool(attributes, X, type.dims);
    // The Indices are positions in the whole input, with `storage_order` 1 in column-major order inside a plane.
    const spatial = X.dims.slice(2);
    const planeSize = countElements(spatial);
    const columnMajor = listStridedPositions(
      spatial,
      spatial.map((_, axis) => countElements(spatial.slice(0, axis))),
    );
    const indices = positions.map((position) => {
      if (!attributes.storage_order) return position;
      const inside = position % planeSize;
      return position - inside + (columnMajor[inside] as number);
    });
    return [pickMaxima(X, type, positions), fromNumbers(indexType, indices)];
  },
  AveragePool: (attributes, inputs, types) => [
    averagePool(attributes, expectEntry(inputs, 0), expectEntry(types, 0), attributes.count_include_pad === 1),
  ],
  GlobalAveragePool: (_, inputs, types) => [
    averagePool(wholeInput, expectEntry(inputs, 0), expectEntry(types, 0), false),
  ],
  GlobalMaxPool: (_, inputs, types) => {
    const type = expectEntry(types, 0);
    return [pickMaxima(expectEntry(inputs, 0), type, argMaxPool(wholeInput, expectEntry(inputs, 0), type.dims))];
  },
  // Y is zero except Y[indices] = X: positions in the whole of Y, as MaxPool's Indices give them.
  MaxUnpool: (_, inputs, types) => {
    const [X, indices, type] = [expectEntry(inputs, 0), expectEntry(inputs, 1), expectEntry(types, 0)];
    const result = zeros(X.dtype, type.dims);
    move(X, listStridedPositions([X.data.length], [1]), result, readIntegers(indices));
    return [result];
  },
};
