import { countElements, normalizeAxis } from '../tensor/dims.js';
import type { DType } from '../tensor/dtype.js';
import { defineOp, type InferContext, int, makeValueType } from './spec.js';

/** Checks that scale (and zero point) are one number, or one for each index along the axis. */
function checkScale(c: InferContext<{ readonly axis: number }>): void {
  const [x, scale] = [c.type(0), c.type(1)];
  const size = x.dims[normalizeAxis(c.attributes.axis, x.dims.length)];
  const [count] = scale.dims;
  if (scale.dims.length === 0 || (scale.dims.length === 1 && count === 1)) return;
  if (scale.dims.length > 1 || (typeof size === 'number' && typeof count === 'number' && size !== count)) {
    throw c.fail(
      `its scale should be one number, or one for each of the ${size ?? '?'} along axis ${c.attributes.axis}.`,
    );
  }
}

/** Smallest and largest number of the element types that QuantizeLinear gives. */
export const quantizedRanges: { readonly [T in DType]?: readonly [least: number, most: number] } = {
  uint8: [0, 255],
  int8: [-128, 127],
  uint16: [0, 65535],
  int16: [-32768, 32767],
};

/** Where along the axis each element of a tensor is: which scale it has. */
export function makeScaleIndex(dims: readonly number[], axis: number, scales: number): (i: number) => number {
  if (scales === 1) return () => 0;
  const at = normalizeAxis(axis, dims.length);
  const inner = countElements(dims.slice(at + 1));
  return (i) => Math.floor(i / inner) % scales;
}

/** Between floats and the 8-bit integers that stand for them. */
export const quantization = {
  QuantizeLinear: defineOp({
    attributes: { axis: int(1) },
    inputs: [2, 3],
    infer(c) {
      checkScale(c);
      return [makeValueType(c.types[2]?.dtype ?? 'uint8', c.type(0).dims)];
    },
  }),
  DequantizeLinear: defineOp({
    attributes: { axis: int(1) },
    inputs: [2, 3],
    infer(c) {
      checkScale(c);
      return [makeValueType(c.type(1).dtype, c.type(0).dims)];
    },
  }),
};
