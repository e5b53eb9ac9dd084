import { padSource, sliceSteps } from '../../ops/extents.js';
import type { shape as specs } from '../../ops/shape.js';
import { computeStrides, countElements, normalizeAxis, range } from '../../tensor/dims.js';
import { reshape, type Tensor, zeros } from '../../tensor/tensor.js';
import { at, broadcastWalk, fromNumbers, integers, type Kernels, move, pick, type TensorType, walk } from './kernel.js';

/** The same elements under the inferred dimensions. */
const sameElements = (_: unknown, inputs: readonly (Tensor | undefined)[], types: readonly TensorType[]) => [
  reshape(at(inputs, 0), at(types, 0).dims),
];

export const shape: Kernels<keyof typeof specs> = {
  Flatten: sameElements,
  Reshape: sameElements,
  Squeeze: sameElements,
  Unsqueeze: sameElements,
  Transpose: ({ perm }, inputs, types) => {
    const source = at(inputs, 0);
    const strides = computeStrides(source.dims);
    const order = perm ?? range(source.dims.length).reverse();
    const { dims } = at(types, 0);
    return [
      pick(
        source,
        dims,
        walk(
          dims,
          order.map((axis) => strides[axis] ?? 1),
        ),
      ),
    ];
  },
  Concat: (attributes, inputs, types) => {
    const { dtype, dims } = at(types, 0);
    const result = zeros(dtype, dims);
    const strides = computeStrides(dims);
    const axis = normalizeAxis(attributes.axis, dims.length);
    let offset = 0;
    for (const input of inputs) {
      if (!input) continue;
      move(input, walk([input.data.length], [1]), result, walk(input.dims, strides, offset));
      offset += (input.dims[axis] ?? 0) * (strides[axis] ?? 1);
    }
    return [result];
  },
  Split: (attributes, inputs, types) => {
    const source = at(inputs, 0);
    const axis = normalizeAxis(attributes.axis, source.dims.length);
    const strides = computeStrides(source.dims);
    let start = 0;
    return types.map(({ dims }) => {
      const part = pick(source, dims, walk(dims, strides, start * (strides[axis] ?? 1)));
      start += dims[axis] ?? 0;
      return part;
    });
  },
  Tile: (_, inputs, types) => {
    const [source, { dims }] = [at(inputs, 0), at(types, 0)];
    // Every axis as two: the repetitions, which go nowhere, and the axis itself.
    const repeats = dims.map((size, axis) => size / Math.max(1, source.dims[axis] ?? 1));
    const strides = computeStrides(source.dims);
    const positions = walk(
      dims.flatMap((_, axis) => [repeats[axis] ?? 1, source.dims[axis] ?? 1]),
      dims.flatMap((_, axis) => [0, strides[axis] ?? 1]),
    );
    return [pick(source, dims, positions)];
  },
  Size: (_, inputs, types) => [fromNumbers(at(types, 0), [countElements(at(inputs, 0).dims)])],
  Slice: (attributes, inputs, types) => {
    const source = at(inputs, 0);
    const [starts, ends, axes, steps] = [1, 2, 3, 4].map((i) => inputs[i] && integers(inputs[i] as Tensor));
    const strides = computeStrides(source.dims);
    let offset = 0;
    for (const { axis, start, step } of sliceSteps(
      source.dims,
      attributes.starts ?? starts ?? [],
      attributes.ends ?? ends ?? [],
      attributes.axes ?? axes,
      steps,
    )) {
      offset += start * (strides[axis] ?? 1);
      strides[axis] = (strides[axis] ?? 1) * step;
    }
    const { dims } = at(types, 0);
    return [pick(source, dims, walk(dims, strides, offset))];
  },
  Expand: (_, inputs, types) => {
    const { dims } = at(types, 0);
    return [pick(at(inputs, 0), dims, broadcastWalk(at(inputs, 0).dims, dims))];
  },
  Pad: ({ mode }, inputs, types) => {
    const [source, { dtype, dims }] = [at(inputs, 0), at(types, 0)];
    const rank = source.dims.length;
    const pads = integers(at(inputs, 1));
    const axes = inputs[3] ? integers(inputs[3]).map((axis) => normalizeAxis(axis, rank)) : range(rank);
    const begins = range(rank).map((axis) => pads[axes.indexOf(axis)] ?? 0);
    const result = zeros(dtype, dims);
    const [strides, outStrides] = [computeStrides(source.dims), computeStrides(dims)];
    const [fromAt, toAt, constantAt]: [number[], number[], number[]] = [[], [], []];
    for (let i = 0; i < result.data.length; i++) {
      let position: number | undefined = 0;
      for (const [axis, size] of source.dims.entries()) {
        const index = Math.floor(i / (outStrides[axis] ?? 1)) % (dims[axis] ?? 1);
        const inside = padSource(mode, index - (begins[axis] ?? 0), size);
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
    const { dims } = at(inputs, 0);
    return [fromNumbers(at(types, 0), dims.slice(start, end ?? dims.length))];
  },
};
