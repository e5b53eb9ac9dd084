import { ShiboriError } from '../errors.js';
import { computePixelScale, findPaddedPixel, findSamplingTaps } from '../ops/grid-sampling.js';
import { computeAxisWeights, computeResizedAxes } from '../ops/interpolation.js';
import type { resample as specs } from '../ops/resample.js';
import { computeStrides, countElements } from '../tensor/dims.js';
import { roundHalfToEven } from '../tensor/round.js';
import { expectEntry, fromNumbers, type Kernels, listStridedPositions, pick, readNumbers } from './kernel.js';

/** `Y = A X` along an axis: every line of `size` elements becomes one of `outputs`. */
function multiplyAlongAxis(
  x: Float64Array,
  dims: readonly number[],
  axis: number,
  matrix: readonly number[],
  outputs: number,
): Float64Array {
  const size = dims[axis] ?? 1;
  const inner = countElements(dims.slice(axis + 1));
  const y = new Float64Array((x.length / Math.max(1, size)) * outputs);
  for (let i = 0; i < y.length; i++) {
    const o = Math.floor(i / inner) % outputs;
    const from = Math.floor(i / (inner * outputs)) * size * inner + (i % inner);
    let sum = 0;
    for (let k = 0; k < size; k++) {
      const weight = matrix[o * size + k] as number;
      if (weight !== 0) sum += weight * (x[from + k * inner] as number);
    }
    y[i] = sum;
  }
  return y;
}

/** The pixels along an axis that a position from -1 to 1 is made of, with their weights. */
function listNeighbours(
  position: number,
  size: number,
  mode: string,
  padding: string,
  aligned: boolean,
): { readonly pixel: number; readonly weight: number }[] {
  const { scale, shift } = computePixelScale(size, aligned);
  const x = position * scale + shift;
  const first = mode === 'nearest' ? roundHalfToEven(x) : Math.floor(x);
  const t = x - first;
  return (findSamplingTaps(mode) ?? []).flatMap(({ offset, weight: [c0, c1, c2, c3] }) => {
    const pixel = findPaddedPixel(padding, first + offset, size, aligned);
    return pixel === undefined ? [] : [{ pixel, weight: ((c3 * t + c2) * t + c1) * t + c0 }];
  });
}

export const resample: Kernels<keyof typeof specs> = {
  Resize: (attributes, inputs, types) => {
    const source = expectEntry(inputs, 0);
    const [roi, scales, sizes] = [1, 2, 3].map((i) => {
      const input = inputs[i];
      return input && Array.from(readNumbers(input));
    });
    let values: Float64Array = Float64Array.from(readNumbers(source));
    const dims = [...source.dims];
    const extrapolated = new Map<number, ReadonlySet<number>>();
    for (const resized of computeResizedAxes(attributes, source.dims, { roi, scales, sizes })) {
      const weights = computeAxisWeights(attributes, resized);
      if (typeof weights === 'string') throw new ShiboriError(`${weights} is not known.`, { code: 'engine-failed' });
      values = multiplyAlongAxis(values, dims, resized.axis, weights.matrix, resized.output);
      dims[resized.axis] = resized.output;
      extrapolated.set(resized.axis, weights.outside);
    }
    const strides = computeStrides(dims);
    for (const [axis, outside] of extrapolated) {
      if (outside.size === 0) continue;
      for (let i = 0; i < values.length; i++) {
        if (outside.has(Math.floor(i / (strides[axis] ?? 1)) % (dims[axis] ?? 1)))
          values[i] = attributes.extrapolation_value;
      }
    }
    return [fromNumbers(expectEntry(types, 0), values)];
  },
  GridSample: ({ align_corners, mode, padding_mode }, inputs, types) => {
    const [source, { dims }] = [expectEntry(inputs, 0), expectEntry(types, 0)];
    const [x, grid] = [readNumbers(source), readNumbers(expectEntry(inputs, 1))];
    const [batch = 1, channels = 1, rows = 1, columns = 1] = source.dims;
    const positions = (dims[2] ?? 1) * (dims[3] ?? 1);
    const values = new Float64Array(countElements(dims));
    for (let i = 0; i < batch * positions; i++) {
      const along = (axis: number, size: number) =>
        listNeighbours(grid[2 * i + axis] as number, size, mode, padding_mode, align_corners === 1);
      const [across, down] = [along(0, columns), along(1, rows)];
      const [n, p] = [Math.floor(i / positions), i % positions];
      for (let c = 0; c < channels; c++) {
        const plane = (n * channels + c) * rows * columns;
        let sum = 0;
        for (const y of down) {
          for (const { pixel, weight } of across) {
            sum += y.weight * weight * (x[plane + y.pixel * columns + pixel] as number);
          }
        }
        values[(n * channels + c) * positions + p] = sum;
      }
    }
    return [fromNumbers(expectEntry(types, 0), values)];
  },
  // DCR: the channels are [row in block, column in block, channel]; CRD: [channel, row, column]
  DepthToSpace: ({ blocksize: block, mode }, inputs, types) => {
    const [source, { dims }] = [expectEntry(inputs, 0), expectEntry(types, 0)];
    const [batch = 1, channels = 1, rows = 1, columns = 1] = source.dims;
    const [, fewer = 1] = dims;
    const plane = rows * columns;
    const channelFirst = mode === 'CRD';
    const [perChannel, perRow, perColumn] = channelFirst
      ? [block * block * plane, block * plane, plane]
      : [plane, block * fewer * plane, fewer * plane];
    const positions = listStridedPositions(
      [batch, fewer, rows, block, columns, block],
      [channels * plane, perChannel, columns, perRow, 1, perColumn],
    );
    return [pick(source, dims, positions)];
  },
  SpaceToDepth: ({ blocksize: block }, inputs, types) => {
    const [source, { dims }] = [expectEntry(inputs, 0), expectEntry(types, 0)];
    const [batch = 1, channels = 1, rows = 1, columns = 1] = source.dims;
    const plane = rows * columns;
    const positions = listStridedPositions(
      [batch, block, block, channels, rows / block, columns / block],
      [channels * plane, columns, 1, plane, block * columns, block],
    );
    return [pick(source, dims, positions)];
  },
};
