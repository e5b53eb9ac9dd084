import { broadcastDims, divideDims, isStatic, multiplyDims } from '../graph/dims.js';
import type { Dim } from '../graph/model.js';
import { normalizeAxis, range } from '../tensor/dims.js';
import { computeEvenParts, computeSlicedSize, padModes } from './extents.js';
import { defineOp, type InferContext, int, ints, makeValueType, optionalInt, requiredInt, string } from './spec.js';

/** Axes from the attribute of older operator sets or from the constant input of newer ones. */
function readAxes(
  c: InferContext<{ readonly axes: readonly number[] | undefined }>,
  rank: number,
): number[] | undefined {
  return (c.attributes.axes ?? c.constant(1))?.map((axis) => normalizeAxis(axis, rank));
}

/** Operators that move elements and change dimensions. */
export const shape = {
  Flatten: defineOp({
    attributes: { axis: int(1) },
    inputs: [1, 1],
    infer(c) {
      const { dtype, dims } = c.type(0);
      const axis = normalizeAxis(c.attributes.axis, dims.length);
      return [makeValueType(dtype, [multiplyDims(dims.slice(0, axis)), multiplyDims(dims.slice(axis))])];
    },
  }),
  Reshape: defineOp({
    attributes: { allowzero: int(0) },
    inputs: [2, 2],
    infer(c) {
      const { dtype, dims } = c.type(0);
      const wanted = c.dimensions(1);
      if (!wanted) {
        const rank = c.type(1).dims[0];
        if (typeof rank !== 'number') throw c.fail('the new shape is computed at run time.');
        return [
          makeValueType(
            dtype,
            range(rank).map(() => '?'),
          ),
        ];
      }
      const out: Dim[] = wanted.map((size, axis) => (size === 0 && !c.attributes.allowzero ? (dims[axis] ?? 0) : size));
      // -1 stands for what is left; so does an entry that is not known before running, when it is the only one.
      const open = wanted.includes(-1) ? wanted.indexOf(-1) : out.indexOf('?');
      if (open >= 0) {
        const rest = multiplyDims(out.filter((_, axis) => axis !== open));
        const size = divideDims(multiplyDims(dims), rest);
        if (size === undefined && isStatic(dims) && isStatic(out)) {
          throw c.fail(`its elements cannot be reshaped to [${wanted}].`);
        }
        out[open] = size ?? '?';
      } else if (isStatic(dims) && isStatic(out) && multiplyDims(dims) !== multiplyDims(out)) {
        throw c.fail(`its ${multiplyDims(dims)} elements cannot be reshaped to [${out}].`);
      }
      return [makeValueType(dtype, out)];
    },
  }),
  Transpose: defineOp({
    attributes: { perm: ints },
    inputs: [1, 1],
    infer(c) {
      const { dtype, dims } = c.type(0);
      const perm = c.attributes.perm ?? range(dims.length).reverse();
      if (perm.length !== dims.length) throw c.fail(`perm has ${perm.length} axes for ${dims.length} dimensions.`);
      return [
        makeValueType(
          dtype,
          perm.map((axis) => dims[axis] ?? 1),
        ),
      ];
    },
  }),
  Concat: defineOp({
    attributes: { axis: requiredInt },
    inputs: [1, 1024],
    infer(c) {
      const first = c.type(0);
      const axis = normalizeAxis(c.attributes.axis, first.dims.length);
      let total: Dim = 0;
      for (let i = 0; i < c.types.length; i++) {
        const { dims } = c.type(i);
        const size = dims[axis];
        total = typeof total === 'number' && typeof size === 'number' ? total + size : '?';
        const clash = dims.some(
          (dim, at) => at !== axis && isStatic([dim, first.dims[at] ?? 0]) && dim !== first.dims[at],
        );
        if (dims.length !== first.dims.length || clash) throw c.fail(`its inputs differ beyond axis ${axis}.`);
      }
      return [
        makeValueType(
          first.dtype,
          first.dims.map((dim, at) => (at === axis ? total : dim)),
        ),
      ];
    },
  }),
  Split: defineOp({
    attributes: { axis: int(0), num_outputs: optionalInt, split: ints },
    inputs: [1, 2],
    infer(c) {
      const { dtype, dims } = c.type(0);
      const axis = normalizeAxis(c.attributes.axis, dims.length);
      const size = dims[axis] ?? 1;
      const { num_outputs: count, split } = c.attributes;
      const even = count && (typeof size === 'number' ? computeEvenParts(size, count) : range(count).map(() => '?'));
      const sizes: readonly Dim[] | undefined = split ?? c.dimensions(1) ?? (even || undefined);
      if (!sizes) throw c.fail('the lengths of its parts are computed at run time.');
      if (typeof size === 'number' && isStatic(sizes) && sizes.reduce((sum, part) => sum + part, 0) !== size) {
        throw c.fail(`the parts [${sizes.join(', ')}] do not add up to the ${size} of axis ${axis}.`);
      }
      return sizes.map((part) => makeValueType(dtype, dims.with(axis, part)));
    },
  }),
  Slice: defineOp({
    attributes: { starts: ints, ends: ints, axes: ints },
    inputs: [1, 5],
    infer(c) {
      const { dtype, dims } = c.type(0);
      const starts = c.attributes.starts ?? c.dimensions(1);
      const ends = c.attributes.ends ?? c.dimensions(2);
      const axes = c.attributes.axes ?? c.constant(3);
      const steps = c.constant(4);
      const out = [...dims];
      if (!starts || !ends || (c.types[3] && !axes) || (c.types[4] && !steps)) {
        return [
          makeValueType(
            dtype,
            axes
              ? dims.map((dim, axis) => (axes.some((cut) => normalizeAxis(cut, dims.length) === axis) ? '?' : dim))
              : dims.map(() => '?'),
          ),
        ];
      }
      for (const [i, start] of starts.entries()) {
        const axis = normalizeAxis(axes?.[i] ?? i, dims.length);
        out[axis] = computeSlicedSize(dims[axis] ?? 1, start, ends[i] ?? 0, steps?.[i] ?? 1);
      }
      return [makeValueType(dtype, out)];
    },
  }),
  Squeeze: defineOp({
    attributes: { axes: ints },
    inputs: [1, 2],
    infer(c) {
      const { dtype, dims } = c.type(0);
      const known = readAxes(c, dims.length);
      if (c.types[1] && !known) throw c.fail('the axes to remove are computed at run time.');
      const axes = known ?? range(dims.length).filter((axis) => dims[axis] === 1);
      return [
        makeValueType(
          dtype,
          dims.filter((_, axis) => !axes.includes(axis)),
        ),
      ];
    },
  }),
  Unsqueeze: defineOp({
    attributes: { axes: ints },
    inputs: [1, 2],
    infer(c) {
      const { dtype, dims } = c.type(0);
      const wanted = c.attributes.axes ?? c.constant(1);
      if (!wanted) throw c.fail('the axes to insert are computed at run time.');
      const rank = dims.length + wanted.length;
      const inserted = new Set(wanted.map((axis) => normalizeAxis(axis, rank)));
      const rest = dims.values();
      return [
        makeValueType(
          dtype,
          range(rank).map((axis) => (inserted.has(axis) ? 1 : (rest.next().value ?? 1))),
        ),
      ];
    },
  }),
  Expand: defineOp({
    attributes: {},
    inputs: [2, 2],
    infer(c) {
      const { dtype, dims } = c.type(0);
      const wanted = c.dimensions(1);
      if (!wanted) throw c.fail('the shape to expand to is computed at run time.');
      const out = broadcastDims(dims, wanted);
      if (!out) throw c.fail(`its input does not broadcast to [${wanted}].`);
      return [makeValueType(dtype, out)];
    },
  }),
  Tile: defineOp({
    attributes: {},
    inputs: [2, 2],
    infer(c) {
      const { dtype, dims } = c.type(0);
      const repeats = c.dimensions(1);
      return [
        makeValueType(
          dtype,
          dims.map((dim, axis) => multiplyDims([dim, repeats?.[axis] ?? '?'])),
        ),
      ];
    },
  }),
  Pad: defineOp({
    attributes: { mode: string('constant') },
    inputs: [2, 4],
    infer(c) {
      const { dtype, dims } = c.type(0);
      if (!padModes.includes(c.attributes.mode)) throw c.fail(`there is no mode "${c.attributes.mode}".`);
      const pads = c.constant(1);
      if (!pads) throw c.fail('the padding is computed at run time.');
      const axes = c.constant(3)?.map((axis) => normalizeAxis(axis, dims.length)) ?? range(dims.length);
      const out = [...dims];
      for (const [i, axis] of axes.entries()) {
        const size = dims[axis];
        const added = (pads[i] ?? 0) + (pads[i + axes.length] ?? 0);
        out[axis] = typeof size === 'number' ? size + added : added === 0 ? (size ?? '?') : '?';
      }
      return [makeValueType(dtype, out)];
    },
  }),
  Size: defineOp({ attributes: {}, inputs: [1, 1], infer: () => [makeValueType('int64', [])] }),
  Shape: defineOp({
    attributes: { start: int(0), end: optionalInt },
    inputs: [1, 1],
    infer(c) {
      // ONNX clamps both ends to the rank, as Array.slice does.
      const { dims } = c.type(0);
      return [makeValueType('int64', [dims.slice(c.attributes.start, c.attributes.end ?? dims.length).length])];
    },
  }),
};
