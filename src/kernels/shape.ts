import { computeSliceSteps, findPadSource } from '../ops/extents.js';
import type { shape as specs } from '../ops/shape.js';
import { computeStrides, countElements, normalizeAxis, range } from '../tensor/dims.js';
import { reshape, type Tensor, zeros } from '../tensor/tensor.js';
import {
  expectEntry,
  fromNumbers,
  type Kernels,
  listBroadcastPositions,
  listStridedPositions,
  move,
  pick,
  readIntegers,
  type TensorType,
} from './kernel.js';

/** The same elements under the inferred dimensions. */
const reshapeToType = (_: unknown, inputs: readonly (Tensor | undefined)[], types: readonly TensorType[]) => [
  reshape(expectEntry(inputs, 0), expectEntry(types, 0).dims),
];

export const shape: Kernels<keyof typeof specs> = {
  Flatten: reshapeToType,
  Reshape: reshapeToType,
  Squeeze: reshapeToType,
  Unsqueeze: reshapeToType,
  Transpose: ({ perm }, inputs, types) => {
    const source = expectEntry(inputs, 0);
    const strides = computeStrides(source.dims);
    const order = perm ?? range(source.dims.length).reverse();
    const { dims } = expectEntry(types, 0);
    return [
      pick(
        source,
        dims,
        listStridedPositions(
          dims,
          order.map((axis) => strides[axis] ?? 1),
        ),
      ),
    ];
  },
  Concat: (attributes, inputs, types) => {
    const { dtype, dims } = expectEntry(types, 0);
    const result = zeros(dtype, dims);
    const strides = computeStrides(dims);
    const axis = normalizeAxis(attributes.axis, dims.length);
    let offset = 0;
    for (const input of inputs) {
      if (!input) continue;
      move(
        input,
        listStridedPositions([input.data.length], [1]),
        result,
        listStridedPositions(input.dims, strides, offset),
      );
      offset += (input.dims[axis] ?? 0) * (strides[axis] ?? 1);
    }
    return [result];
  },
  Split: (attributes, inputs, types) => {
    const source = expectEntry(inputs, 0);
    const axis = normalizeAxis(attributes.axis, source.dims.length);
    const strides = computeStrides(source.dims);
    let start = 0;
    return types.map(({ dims }) => {
      const part = pick(source, dims, listStridedPositions(dims, strides, start * (strides[axis] ?? 1)));
      start += dims[axis] ?? 0;
      return part;
    });
  },
  Tile: (_, inputs, types) => {
    const [source, { dims }] = [expectEntry(inputs, 0), expectEntry(types, 0)];
    // Every axis as two: the repetitions, which go nowhere, and the axis itself.
    const repeats = dims.map((size, axis) => size / Math.max(1, source.dims[axis] ?? 1));
    const strides = computeStrides(source.dims);
    const positions = listStridedPositions(
      dims.flatMap((_, axis) => [repeats[axis] ?? 1, source.dims[axis] ?? 1]),
      dims.flatMap((_, axis) => [0, strides[axis] ?? 1]),
    );
    return [pick(source, dims, positions)];
  },
  Size: (_, inputs, types) => [fromNumbers(expectEntry(types, 0), [countElements(expectEntry(inputs, 0).dims)])],
  Slice: (attributes, inputs, types) => {
    const source = expectEntry(inputs, 0);
    const [starts, ends, axes, steps] = [1, 2, 3, 4].map((i) => inputs[i] && readIntegers(inputs[i] as Tensor));
    const strides = computeStrides(source.dims);
    let offset = 0;
    for (const { axis, start, step } of computeSliceSteps(
      source.dims,
      attributes.starts ?? starts ?? [],
      attributes.ends ?? ends ?? [],
      attributes.axes ?? axes,
      steps,
    )) {
      offset += start * (strides[axis] ?? 1);
      strides[axis] = (strides[axis] ?? 1) * step;
    }
    const { dims } = expectEntry(types, 0);
    return [pick(source, dims, listStridedPositions(dims, strides, offset))];
  },
  Expand: (_, inputs, types) => {
    const { dims } = expectEntry(types, 0);
    return [pick(expectEntry(inputs, 0), dims, listBroadcastPositions(expectEntry(inputs, 0).dims, dims))];
  },
  Pad: ({ mode }, inputs, types) => {
    const [source, { dtype, dims }] = [expectEntry(inputs, 0), expectEntry(types, 0)];
    const rank = source.dims.length;
    const pads = readIntegers(expectEntry(inputs, 1));
    const axes = inputs[3] ? readIntegers(inputs[3]).map((axis) => normalizeAxis(axis, rank)) : range(rank);
    const begins = range(rank).map((axis) => pads[axes.indexOf(axis)] ?? 0);
    const result = zeros(dtype, dims);
    const [strides, outStrides] = [computeStrides(source.dims), computeStrides(dims)];
    const [fromAt, toAt, constantAt]: [number[], number[], number[]] = [[], [], []];
    for (let i = 0; i < result.data.length; i++) {
      let position: number | undefined = 0;
      for (const [axis, size] of source.dims.entries()) {
        const index = Math.floor(i / (outStrides[axis] ?? 1)) % (dims[axis] ?? 1);
        const inside = findPadSource(mode, index - (begins[axis] ?? 0), size);
        position =
          position === undefined || inside === undefined ? undefined : position + inside * (strides[axis] ?? 1);
      }
      if (position === undefined) constantAt.push(i);
      else {
        fromAt.push(position);
        toAt.push(i);
      }
    }
    move(source, fromAt, result, toAt);
    if (inputs[2])
      move(
        inputs[2],
        constantAt.map(() => 0),
        result,
        constantAt,
      );
    return [result];
  },
  Shape: ({ start, end }, inputs, types) => {
    const { dims } = expectEntry(inputs, 0);
    return [fromNumbers(expectEntry(types, 0), dims.slice(start, end ?? dims.length))];
  },
};
