import { ShiboriError } from '../../errors.js';
import { sliceSteps, type shape as specs } from '../../ops/shape.js';
import { normalizeAxis, range, sizeOf, stridesOf } from '../../tensor/dims.js';
import { reshape, type Tensor, zeros } from '../../tensor/tensor.js';
import {
  at,
  broadcastWalk,
  fromNumbers,
  integers,
  type Kernels,
  move,
  numbers,
  pick,
  type TensorType,
  walk,
} from './kernel.js';

/** The same elements under the inferred dimensions. */
const sameElements = (_: unknown, inputs: readonly (Tensor | undefined)[], types: readonly TensorType[]) => [
  reshape(at(inputs, 0), at(types, 0).dims),
];

/** Indices along an axis of this size, negative ones counted from its end. */
function wrapped(indices: Tensor, size: number): number[] {
  return integers(indices).map((index) => {
    const position = index < 0 ? index + size : index;
    if (position >= 0 && position < size) return position;
    throw new ShiboriError(`Index ${index} is out of range for an axis of ${size} elements.`);
  });
}

/** For each element of `indices`, the flat position in `dims` with the index along `axis` replaced by that element. */
function elementPositions(dims: readonly number[], indices: Tensor, axis: number): Float64Array {
  const strides = stridesOf(dims);
  const chosen = wrapped(indices, dims[axis] ?? 1);
  const others = strides.map((stride, other) => (other === axis ? 0 : stride));
  return walk(indices.dims, others).map((position, i) => position + (chosen[i] as number) * (strides[axis] ?? 1));
}

const scatterReductions: Readonly<Record<string, (before: number, update: number) => number>> = {
  add: (a, b) => a + b,
  mul: (a, b) => a * b,
  max: Math.max,
  min: Math.min,
};

/** Where padding takes its element from along one axis; `undefined` for the constant. */
const padSources: Readonly<Record<string, (i: number, size: number) => number | undefined>> = {
  constant: (i, size) => (i >= 0 && i < size ? i : undefined),
  edge: (i, size) => Math.min(Math.max(i, 0), size - 1),
  reflect: (i, size) => {
    const period = Math.max(1, 2 * (size - 1));
    const inside = ((i % period) + period) % period;
    return inside < size ? inside : period - inside;
  },
  wrap: (i, size) => ((i % size) + size) % size,
};

export const shape: Kernels<keyof typeof specs> = {
  Flatten: sameElements,
  Reshape: sameElements,
  Squeeze: sameElements,
  Unsqueeze: sameElements,
  Transpose: ({ perm }, inputs, types) => {
    const source = at(inputs, 0);
    const strides = stridesOf(source.dims);
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
    const strides = stridesOf(dims);
    const axis = normalizeAxis(attributes.axis, dims.length);
    let offset = 0;
    for (const input of inputs) {
      if (!input) continue;
      move(input, walk([input.data.length], [1]), result, walk(input.dims, strides, offset));
      offset += (input.dims[axis] ?? 0) * (strides[axis] ?? 1);
    }
    return [result];
  },
  Slice: (attributes, inputs, types) => {
    const source = at(inputs, 0);
    const [starts, ends, axes, steps] = [1, 2, 3, 4].map((i) => inputs[i] && integers(inputs[i] as Tensor));
    const strides = stridesOf(source.dims);
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
  Gather: (attributes, inputs, types) => {
    const [source, indices] = [at(inputs, 0), at(inputs, 1)];
    const axis = normalizeAxis(attributes.axis, source.dims.length);
    const chosen = wrapped(indices, source.dims[axis] ?? 1);
    const inner = sizeOf(source.dims.slice(axis + 1));
    const block = (source.dims[axis] ?? 1) * inner;
    const { dims } = at(types, 0);
    const positions = range(sizeOf(dims)).map((i) => {
      const outer = Math.floor(i / (chosen.length * inner));
      return outer * block + (chosen[Math.floor(i / inner) % chosen.length] as number) * inner + (i % inner);
    });
    return [pick(source, dims, positions)];
  },
  GatherElements: (attributes, inputs, types) => {
    const [source, indices] = [at(inputs, 0), at(inputs, 1)];
    const axis = normalizeAxis(attributes.axis, source.dims.length);
    return [pick(source, at(types, 0).dims, elementPositions(source.dims, indices, axis))];
  },
  ScatterElements: (attributes, inputs, types) => {
    const [source, indices, updates] = [at(inputs, 0), at(inputs, 1), at(inputs, 2)];
    const positions = elementPositions(source.dims, indices, normalizeAxis(attributes.axis, source.dims.length));
    if (attributes.reduction === 'none') {
      const result = pick(source, source.dims, walk([source.data.length], [1]));
      move(updates, walk([updates.data.length], [1]), result, positions);
      return [result];
    }
    const combine = scatterReductions[attributes.reduction];
    if (!combine) throw new ShiboriError(`ScatterElements does not know the reduction "${attributes.reduction}".`);
    const values = Float64Array.from(numbers(source));
    const update = numbers(updates);
    for (const [i, to] of positions.entries()) values[to] = combine(values[to] as number, update[i] as number);
    return [fromNumbers(at(types, 0), values)];
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
    const from = padSources[mode];
    if (!from) throw new ShiboriError(`Pad does not know the mode "${mode}".`);
    const result = zeros(dtype, dims);
    const [strides, outStrides] = [stridesOf(source.dims), stridesOf(dims)];
    const [fromAt, toAt, constantAt]: [number[], number[], number[]] = [[], [], []];
    for (let i = 0; i < result.data.length; i++) {
      let position: number | undefined = 0;
      for (const [axis, size] of source.dims.entries()) {
        const index = Math.floor(i / (outStrides[axis] ?? 1)) % (dims[axis] ?? 1);
        const inside = from(index - (begins[axis] ?? 0), size);
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
  ConstantOfShape: ({ value }, _, types) => {
    const { dtype, dims } = at(types, 0);
    const result = zeros(dtype, dims);
    if (value)
      move(
        value,
        range(result.data.length).map(() => 0),
        result,
        range(result.data.length),
      );
    return [result];
  },
  OneHot: (attributes, inputs, types) => {
    const [indices, values, { dims }] = [integers(at(inputs, 0)), at(inputs, 2), at(types, 0)];
    const axis = normalizeAxis(attributes.axis, dims.length);
    const depth = dims[axis] ?? 1;
    const inner = sizeOf(dims.slice(axis + 1));
    // values = [off, on]; an index out of range switches nothing on.
    const chosen = range(sizeOf(dims)).map((i) => {
      const index = indices[Math.floor(i / (depth * inner)) * inner + (i % inner)] as number;
      return (index < 0 ? index + depth : index) === Math.floor(i / inner) % depth ? 1 : 0;
    });
    return [pick(values, dims, chosen)];
  },
};
