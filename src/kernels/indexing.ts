import { ShiboriError } from '../errors.js';
import type { indexing as specs } from '../ops/indexing.js';
import { computeStrides, countElements, normalizeAxis, range } from '../tensor/dims.js';
import { type Tensor, zeros } from '../tensor/tensor.js';
import {
  expectEntry,
  fromNumbers,
  generate,
  type Kernels,
  listStridedPositions,
  move,
  pick,
  readIntegers,
  readNumbers,
} from './kernel.js';

/** Indices along an axis of this size, negative ones counted from its end. */
function resolveIndices(indices: Tensor, size: number): number[] {
  return readIntegers(indices).map((index) => {
    const position = index < 0 ? index + size : index;
    if (position >= 0 && position < size) return position;
    throw new ShiboriError(`Index ${index} is out of range for an axis of ${size} elements.`, {
      code: 'engine-failed',
    });
  });
}

/** For each element of `indices`, the flat position in `dims` with the index along `axis` replaced by that element. */
function computeElementPositions(dims: readonly number[], indices: Tensor, axis: number): Float64Array {
  const strides = computeStrides(dims);
  const chosen = resolveIndices(indices, dims[axis] ?? 1);
  const others = strides.map((stride, other) => (other === axis ? 0 : stride));
  return listStridedPositions(indices.dims, others).map(
    (position, i) => position + (chosen[i] as number) * (strides[axis] ?? 1),
  );
}

const scatterReductions: Readonly<Record<string, (before: number, update: number) => number>> = {
  add: (a, b) => a + b,
  mul: (a, b) => a * b,
  max: Math.max,
  min: Math.min,
};

/** The flat positions that GatherND and ScatterND reach: one block of `block` elements for each index tuple. */
function computeBlockPositions(
  dims: readonly number[],
  indices: Tensor,
  batchDims: number,
): { readonly starts: number[]; readonly block: number } {
  const depth = indices.dims.at(-1) ?? 1;
  const tuples = readIntegers(indices);
  const strides = computeStrides(dims);
  const count = countElements(indices.dims.slice(0, -1));
  const perBatch = count / countElements(dims.slice(0, batchDims));
  const batchSize = countElements(dims.slice(batchDims));
  const starts = range(count).map((tuple) => {
    let start = Math.floor(tuple / perBatch) * batchSize;
    for (let k = 0; k < depth; k++) {
      const size = dims[batchDims + k] ?? 1;
      const index = tuples[tuple * depth + k] ?? 0;
      const wanted = index < 0 ? index + size : index;
      if (wanted < 0 || wanted >= size) {
        throw new ShiboriError(`Index ${index} is out of range for an axis of ${size} elements.`, {
          code: 'engine-failed',
        });
      }
      start += wanted * (strides[batchDims + k] ?? 1);
    }
    return start;
  });
  return { starts, block: countElements(dims.slice(batchDims + depth)) };
}

/** `source` with `updates` put to, or combined with what is at, these positions. */
function scatter(source: Tensor, positions: ArrayLike<number>, updates: Tensor, reduction: string): Tensor {
  if (reduction === 'none') {
    const result = pick(source, source.dims, listStridedPositions([source.data.length], [1]));
    move(updates, listStridedPositions([updates.data.length], [1]), result, positions);
    return result;
  }
  const combine = scatterReductions[reduction];
  if (!combine) throw new ShiboriError(`There is no reduction "${reduction}".`, { code: 'engine-failed' });
  const values = Float64Array.from(readNumbers(source));
  const update = readNumbers(updates);
  for (let i = 0; i < positions.length; i++) {
    const to = positions[i] as number;
    values[to] = combine(values[to] as number, update[i] as number);
  }
  return fromNumbers(source, values);
}

export const indexing: Kernels<keyof typeof specs> = {
  Gather: (attributes, inputs, types) => {
    const [source, indices] = [expectEntry(inputs, 0), expectEntry(inputs, 1)];
    const axis = normalizeAxis(attributes.axis, source.dims.length);
    const chosen = resolveIndices(indices, source.dims[axis] ?? 1);
    const inner = countElements(source.dims.slice(axis + 1));
    const block = (source.dims[axis] ?? 1) * inner;
    const { dims } = expectEntry(types, 0);
    const positions = range(countElements(dims)).map((i) => {
      const outer = Math.floor(i / (chosen.length * inner));
      return outer * block + (chosen[Math.floor(i / inner) % chosen.length] as number) * inner + (i % inner);
    });
    return [pick(source, dims, positions)];
  },
  GatherElements: (attributes, inputs, types) => {
    const [source, indices] = [expectEntry(inputs, 0), expectEntry(inputs, 1)];
    const axis = normalizeAxis(attributes.axis, source.dims.length);
    return [pick(source, expectEntry(types, 0).dims, computeElementPositions(source.dims, indices, axis))];
  },
  GatherND: (attributes, inputs, types) => {
    const { starts, block } = computeBlockPositions(
      expectEntry(inputs, 0).dims,
      expectEntry(inputs, 1),
      attributes.batch_dims,
    );
    const positions = starts.flatMap((start) => range(block).map((i) => start + i));
    return [pick(expectEntry(inputs, 0), expectEntry(types, 0).dims, positions)];
  },
  ScatterElements: (attributes, inputs) => {
    const [source, indices, updates] = [expectEntry(inputs, 0), expectEntry(inputs, 1), expectEntry(inputs, 2)];
    const positions = computeElementPositions(source.dims, indices, normalizeAxis(attributes.axis, source.dims.length));
    return [scatter(source, positions, updates, attributes.reduction)];
  },
  ScatterND: (attributes, inputs) => {
    const { starts, block } = computeBlockPositions(expectEntry(inputs, 0).dims, expectEntry(inputs, 1), 0);
    const positions = starts.flatMap((start) => range(block).map((i) => start + i));
    return [scatter(expectEntry(inputs, 0), positions, expectEntry(inputs, 2), attributes.reduction)];
  },
  // Equal ones in the order of their positions
  TopK: (attributes, inputs, types) => {
    const [source, { dims }] = [expectEntry(inputs, 0), expectEntry(types, 0)];
    const x = readNumbers(source);
    const axis = normalizeAxis(attributes.axis, dims.length);
    const strides = computeStrides(source.dims);
    const [size, stride, kept] = [source.dims[axis] ?? 1, strides[axis] ?? 1, dims[axis] ?? 0];
    const positions = new Float64Array(countElements(dims));
    const indices = new Float64Array(countElements(dims));
    const lines = listStridedPositions(source.dims.with(axis, 1), strides);
    const targets = listStridedPositions(dims.with(axis, 1), computeStrides(dims));
    for (const [line, from] of lines.entries()) {
      const value = (i: number) => (x[from + i * stride] as number) * (attributes.largest ? 1 : -1);
      const order = range(size).sort((a, b) => value(b) - value(a) || a - b);
      for (let i = 0; i < kept; i++) {
        const to = (targets[line] as number) + i * (computeStrides(dims)[axis] ?? 1);
        positions[to] = from + (order[i] ?? 0) * stride;
        indices[to] = order[i] ?? 0;
      }
    }
    return [pick(source, dims, positions), fromNumbers(expectEntry(types, 1), indices)];
  },
  Trilu: ({ upper }, inputs) => {
    const source = expectEntry(inputs, 0);
    const [rows, columns] = [source.dims.at(-2) ?? 1, source.dims.at(-1) ?? 1];
    const shift = inputs[1] ? (readIntegers(inputs[1])[0] ?? 0) : 0;
    const kept = range(source.data.length).filter((i) => {
      const offset = (i % columns) - (Math.floor(i / columns) % rows) - shift;
      return upper ? offset >= 0 : offset <= 0;
    });
    const result = zeros(source.dtype, source.dims);
    move(source, kept, result, kept);
    return [result];
  },
  ReverseSequence: (attributes, inputs) => {
    const [source, lengths] = [expectEntry(inputs, 0), readIntegers(expectEntry(inputs, 1))];
    const strides = computeStrides(source.dims);
    const along = (i: number, axis: number) => Math.floor(i / (strides[axis] ?? 1)) % (source.dims[axis] ?? 1);
    const positions = range(source.data.length).map((i) => {
      const length = lengths[along(i, attributes.batch_axis)] ?? 0;
      const time = along(i, attributes.time_axis);
      return time < length ? i + (length - 1 - 2 * time) * (strides[attributes.time_axis] ?? 1) : i;
    });
    return [pick(source, source.dims, positions)];
  },
  NonZero: (_, inputs, types) => {
    const source = expectEntry(inputs, 0);
    const values = readNumbers(source);
    const found = range(values.length).filter((i) => values[i] !== 0);
    const strides = computeStrides(source.dims);
    const index = source.dims.flatMap((size, axis) => found.map((i) => Math.floor(i / (strides[axis] ?? 1)) % size));
    return [fromNumbers(expectEntry(types, 0), index)];
  },
  ConstantOfShape: ({ value }, _, types) => {
    const { dtype, dims } = expectEntry(types, 0);
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
    const [indices, values, { dims }] = [
      readIntegers(expectEntry(inputs, 0)),
      expectEntry(inputs, 2),
      expectEntry(types, 0),
    ];
    const axis = normalizeAxis(attributes.axis, dims.length);
    const depth = dims[axis] ?? 1;
    const inner = countElements(dims.slice(axis + 1));
    // values = [off, on]; an index out of range switches nothing on.
    const chosen = range(countElements(dims)).map((i) => {
      const index = indices[Math.floor(i / (depth * inner)) * inner + (i % inner)] as number;
      return (index < 0 ? index + depth : index) === Math.floor(i / inner) % depth ? 1 : 0;
    });
    return [pick(values, dims, chosen)];
  },
  EyeLike: ({ k }, _, types) => {
    const columns = expectEntry(types, 0).dims[1] ?? 1;
    return [generate(expectEntry(types, 0), (i) => ((i % columns) - Math.floor(i / columns) === k ? 1 : 0))];
  },
  Range: (_, inputs, types) => {
    const [start = 0, , delta = 1] = inputs.map((input) => input && readNumbers(input)[0]);
    return [generate(expectEntry(types, 0), (i) => start + i * delta)];
  },
};
