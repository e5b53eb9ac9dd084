import { broadcastDims, divide, isStatic, productOf } from '../graph/dims.js';
import type { Dim } from '../graph/model.js';
import { normalizeAxis, range } from '../tensor/dims.js';
import {
  defineOp,
  type InferContext,
  int,
  ints,
  optionalInt,
  optionalTensor,
  requiredInt,
  string,
  typed,
} from './spec.js';

/** Axes from the attribute of older operator sets or from the constant input of newer ones. */
function axesOf(c: InferContext<{ readonly axes: readonly number[] | undefined }>, rank: number): number[] | undefined {
  return (c.attributes.axes ?? c.constant(1))?.map((axis) => normalizeAxis(axis, rank));
}

/** The steps that a Slice node takes along each axis, clamped to the dimensions as ONNX defines. */
export interface SliceStep {
  readonly axis: number;
  readonly start: number;
  readonly end: number;
  readonly step: number;
  readonly count: number;
}

/** Resolves a Slice's starts, ends, axes and steps against static dimensions. */
export function sliceSteps(
  dims: readonly number[],
  starts: readonly number[],
  ends: readonly number[],
  axes: readonly number[] | undefined,
  steps: readonly number[] | undefined,
): SliceStep[] {
  return starts.map((rawStart, i) => {
    const axis = normalizeAxis(axes?.[i] ?? i, dims.length);
    const size = dims[axis] ?? 1;
    const step = steps?.[i] ?? 1;
    const clamp = (value: number, low: number, high: number) => Math.min(Math.max(value, low), high);
    const wrap = (value: number) => (value < 0 ? value + size : value);
    const start = step > 0 ? clamp(wrap(rawStart), 0, size) : clamp(wrap(rawStart), 0, size - 1);
    const end = step > 0 ? clamp(wrap(ends[i] ?? 0), 0, size) : clamp(wrap(ends[i] ?? 0), -1, size - 1);
    return { axis, start, end, step, count: Math.max(0, Math.ceil((end - start) / step)) };
  });
}

/** Operators that move elements and change dimensions. */
export const shape = {
  Flatten: defineOp({
    attributes: { axis: int(1) },
    inputs: [1, 1],
    infer(c) {
      const { dtype, dims } = c.type(0);
      const axis = normalizeAxis(c.attributes.axis, dims.length);
      return [typed(dtype, [productOf(dims.slice(0, axis)), productOf(dims.slice(axis))])];
    },
  }),
  Reshape: defineOp({
    attributes: { allowzero: int(0) },
    inputs: [2, 2],
    infer(c) {
      const { dtype, dims } = c.type(0);
      const wanted = c.constant(1);
      if (!wanted) {
        const rank = c.type(1).dims[0];
        if (typeof rank !== 'number') throw c.fail('the new shape is computed at run time.');
        return [
          typed(
            dtype,
            range(rank).map(() => '?'),
          ),
        ];
      }
      const out: Dim[] = wanted.map((size, axis) => (size === 0 && !c.attributes.allowzero ? (dims[axis] ?? 0) : size));
      const open = wanted.indexOf(-1);
      if (open >= 0) {
        const rest = productOf(out.filter((_, axis) => axis !== open));
        const size = divide(productOf(dims), rest);
        if (size === undefined && isStatic(dims)) throw c.fail(`its elements cannot be reshaped to [${wanted}].`);
        out[open] = size ?? '?';
      } else if (isStatic(dims) && isStatic(out) && productOf(dims) !== productOf(out)) {
        throw c.fail(`its ${productOf(dims)} elements cannot be reshaped to [${out}].`);
      }
      return [typed(dtype, out)];
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
        typed(
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
        typed(
          first.dtype,
          first.dims.map((dim, at) => (at === axis ? total : dim)),
        ),
      ];
    },
  }),
  Slice: defineOp({
    attributes: { starts: ints, ends: ints, axes: ints },
    inputs: [1, 5],
    infer(c) {
      const { dtype, dims } = c.type(0);
      const starts = c.attributes.starts ?? c.constant(1);
      const ends = c.attributes.ends ?? c.constant(2);
      const axes = c.attributes.axes ?? c.constant(3);
      const steps = c.constant(4);
      if (!starts || !ends)
        return [
          typed(
            dtype,
            dims.map(() => '?'),
          ),
        ];
      const out = [...dims];
      // A symbolic axis that is cut has an unknown size; the others keep theirs.
      const numeric = dims.map((dim) => (typeof dim === 'number' ? dim : 0));
      for (const { axis, count } of sliceSteps(numeric, starts, ends, axes, steps)) {
        out[axis] = typeof dims[axis] === 'number' ? count : '?';
      }
      return [typed(dtype, out)];
    },
  }),
  Gather: defineOp({
    attributes: { axis: int(0) },
    inputs: [2, 2],
    infer(c) {
      const { dtype, dims } = c.type(0);
      const axis = normalizeAxis(c.attributes.axis, dims.length);
      return [typed(dtype, [...dims.slice(0, axis), ...c.type(1).dims, ...dims.slice(axis + 1)])];
    },
  }),
  GatherElements: defineOp({
    attributes: { axis: int(0) },
    inputs: [2, 2],
    infer: (c) => [typed(c.type(0).dtype, c.type(1).dims)],
  }),
  ScatterElements: defineOp({
    attributes: { axis: int(0), reduction: string('none') },
    inputs: [3, 3],
    infer: (c) => [c.type(0)],
  }),
  Squeeze: defineOp({
    attributes: { axes: ints },
    inputs: [1, 2],
    infer(c) {
      const { dtype, dims } = c.type(0);
      const axes = axesOf(c, dims.length) ?? range(dims.length).filter((axis) => dims[axis] === 1);
      return [
        typed(
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
        typed(
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
      const wanted = c.constant(1);
      if (!wanted) throw c.fail('the shape to expand to is computed at run time.');
      const out = broadcastDims(dims, wanted);
      if (!out) throw c.fail(`its input does not broadcast to [${wanted}].`);
      return [typed(dtype, out)];
    },
  }),
  Pad: defineOp({
    attributes: { mode: string('constant') },
    inputs: [2, 4],
    infer(c) {
      const { dtype, dims } = c.type(0);
      const pads = c.constant(1);
      if (!pads) throw c.fail('the padding is computed at run time.');
      const axes = c.constant(3)?.map((axis) => normalizeAxis(axis, dims.length)) ?? range(dims.length);
      const out = [...dims];
      for (const [i, axis] of axes.entries()) {
        const size = dims[axis];
        out[axis] = typeof size === 'number' ? size + (pads[i] ?? 0) + (pads[i + axes.length] ?? 0) : '?';
      }
      return [typed(dtype, out)];
    },
  }),
  Shape: defineOp({
    attributes: { start: int(0), end: optionalInt },
    inputs: [1, 1],
    infer(c) {
      // ONNX clamps both ends to the rank, as Array.slice does.
      const { dims } = c.type(0);
      return [typed('int64', [dims.slice(c.attributes.start, c.attributes.end ?? dims.length).length])];
    },
  }),
  ConstantOfShape: defineOp({
    attributes: { value: optionalTensor },
    inputs: [1, 1],
    infer(c) {
      const dims = c.constant(0);
      if (!dims) throw c.fail('its shape is computed at run time.');
      return [typed(c.attributes.value?.dtype ?? 'float32', dims)];
    },
  }),
  OneHot: defineOp({
    attributes: { axis: int(-1) },
    inputs: [3, 3],
    infer(c) {
      const { dims } = c.type(0);
      const depth = c.constant(1)?.[0];
      const axis = normalizeAxis(c.attributes.axis, dims.length + 1);
      return [typed(c.type(2).dtype, [...dims.slice(0, axis), depth ?? '?', ...dims.slice(axis)])];
    },
  }),
};
