import { findDtype } from '../graph/element-types.js';
import type { Dim } from '../graph/model.js';
import { normalizeAxis } from '../tensor/dims.js';
import { defineOp, int, makeValueType, optionalInt, optionalTensor, string } from './spec.js';

/** Operators that pick, place and generate elements by their indices. */
export const indexing = {
  Gather: defineOp({
    attributes: { axis: int(0) },
    inputs: [2, 2],
    infer(c) {
      const { dtype, dims } = c.type(0);
      const axis = normalizeAxis(c.attributes.axis, dims.length);
      return [makeValueType(dtype, [...dims.slice(0, axis), ...c.type(1).dims, ...dims.slice(axis + 1)])];
    },
  }),
  GatherElements: defineOp({
    attributes: { axis: int(0) },
    inputs: [2, 2],
    infer: (c) => [makeValueType(c.type(0).dtype, c.type(1).dims)],
  }),
  GatherND: defineOp({
    attributes: { batch_dims: int(0) },
    inputs: [2, 2],
    infer(c) {
      const { dtype, dims } = c.type(0);
      const indices = c.type(1).dims;
      const depth = indices.at(-1);
      if (typeof depth !== 'number') throw c.fail('the last dimension of its indices is not known.');
      return [makeValueType(dtype, [...indices.slice(0, -1), ...dims.slice(c.attributes.batch_dims + depth)])];
    },
  }),
  ScatterElements: defineOp({
    attributes: { axis: int(0), reduction: string('none') },
    inputs: [3, 3],
    infer: (c) => [c.type(0)],
  }),
  ScatterND: defineOp({
    attributes: { reduction: string('none') },
    inputs: [3, 3],
    infer: (c) => [c.type(0)],
  }),
  /** Values, and their positions along the axis. */
  TopK: defineOp({
    attributes: { axis: int(-1), largest: int(1), sorted: int(1) },
    inputs: [2, 2],
    infer(c) {
      const { dtype, dims } = c.type(0);
      const out = dims.with(normalizeAxis(c.attributes.axis, dims.length), c.dimensions(1)?.[0] ?? '?');
      return [makeValueType(dtype, out), makeValueType('int64', out)];
    },
  }),
  OneHot: defineOp({
    attributes: { axis: int(-1) },
    inputs: [3, 3],
    infer(c) {
      const { dims } = c.type(0);
      const depth = c.dimensions(1)?.[0];
      const axis = normalizeAxis(c.attributes.axis, dims.length + 1);
      return [makeValueType(c.type(2).dtype, [...dims.slice(0, axis), depth ?? '?', ...dims.slice(axis)])];
    },
  }),
  Trilu: defineOp({ attributes: { upper: int(1) }, inputs: [1, 2], infer: (c) => [c.type(0)] }),
  ReverseSequence: defineOp({
    attributes: { batch_axis: int(1), time_axis: int(0) },
    inputs: [2, 2],
    infer: (c) => [c.type(0)],
  }),
  NonZero: defineOp({
    attributes: {},
    inputs: [1, 1],
    infer(c) {
      const values = c.constant(0);
      return [
        makeValueType('int64', [c.type(0).dims.length, values ? values.filter((value) => value !== 0).length : '?']),
      ];
    },
  }),
  ConstantOfShape: defineOp({
    attributes: { value: optionalTensor },
    inputs: [1, 1],
    infer(c) {
      const dims = c.dimensions(0);
      if (!dims) throw c.fail('its shape is computed at run time.');
      return [makeValueType(c.attributes.value?.dtype ?? 'float32', dims)];
    },
  }),
  EyeLike: defineOp({
    attributes: { dtype: optionalInt, k: int(0) },
    inputs: [1, 1],
    infer(c) {
      const { dtype, dims } = c.type(0);
      const wanted = c.attributes.dtype === undefined ? dtype : findDtype(c.attributes.dtype);
      if (!wanted) throw c.fail(`ONNX's element type ${c.attributes.dtype} is not supported.`);
      return [makeValueType(wanted, dims)];
    },
  }),
  Range: defineOp({
    attributes: {},
    inputs: [3, 3],
    infer: (c) => [
      makeValueType(c.type(0).dtype, [
        computeRangeSize(c.dimensions(0)?.[0], c.dimensions(1)?.[0], c.dimensions(2)?.[0]),
      ]),
    ],
  }),
};

/** How many numbers there are from `start` to `limit` in steps of `delta`. */
function computeRangeSize(start: Dim | undefined, limit: Dim | undefined, delta: Dim | undefined): Dim {
  if (typeof start === 'number' && typeof limit === 'number' && typeof delta === 'number') {
    return Math.max(0, Math.ceil((limit - start) / delta));
  }
  return start === 0 && delta === 1 && limit !== undefined ? limit : '?';
}
