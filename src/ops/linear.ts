import { ShiboriError } from '../errors.js';
import { broadcastDims } from '../graph/dims.js';
import { countElements } from '../tensor/dims.js';
import { computeEinsumSizes, parseEinsum } from './einsum.js';
import { describeInput, expectBroadcast } from './expect.js';
import { defineOp, float, int, makeValueType, requiredString } from './spec.js';

/** Matrix products. */
export const linear = {
  Gemm: defineOp({
    attributes: { alpha: float(1), beta: float(1), transA: int(0), transB: int(0) },
    inputs: [2, 3],
    infer(c) {
      const [a, b] = [c.type(0), c.type(1)];
      if (a.dims.length !== 2 || b.dims.length !== 2) throw c.fail('A and B must be matrices.');
      const [rows, inner] = c.attributes.transA ? [a.dims[1], a.dims[0]] : a.dims;
      const [innerB, columns] = c.attributes.transB ? [b.dims[1], b.dims[0]] : b.dims;
      if (typeof inner === 'number' && typeof innerB === 'number' && inner !== innerB) {
        throw c.fail(`${describeInput(c, 1, 'B')} takes ${innerB} features, ${describeInput(c, 0, 'A')} has ${inner}.`);
      }
      const dims = [rows ?? 1, columns ?? 1];
      expectBroadcast(c, 2, 'C', dims, 'the product');
      return [makeValueType(a.dtype, dims)];
    },
    countOperatorMacs(attributes, [a], output) {
      return countElements(output) * ((attributes.transA ? a?.[0] : a?.[1]) ?? 0);
    },
  }),
  MatMul: defineOp({
    attributes: {},
    inputs: [2, 2],
    infer(c) {
      const [a, b] = [c.type(0), c.type(1)];
      if (a.dims.length === 0 || b.dims.length === 0) throw c.fail('a scalar cannot be multiplied as a matrix.');
      // A vector is a row on the left and a column on the right; its extra axis is dropped again.
      const left = a.dims.length === 1 ? [1, ...a.dims] : a.dims;
      const right = b.dims.length === 1 ? [...b.dims, 1] : b.dims;
      const [inner, innerB] = [left.at(-1), right.at(-2)];
      if (typeof inner === 'number' && typeof innerB === 'number' && inner !== innerB) {
        throw c.fail(
          `${describeInput(c, 1, 'the right matrix')} takes ${innerB} features, ${describeInput(c, 0, 'the left one')} has ${inner}.`,
        );
      }
      const batch = broadcastDims(left.slice(0, -2), right.slice(0, -2));
      if (!batch) throw c.fail('the batch dimensions do not broadcast.');
      const dims = [...batch];
      if (a.dims.length > 1) dims.push(left.at(-2) ?? 1);
      if (b.dims.length > 1) dims.push(right.at(-1) ?? 1);
      return [makeValueType(a.dtype, dims)];
    },
    countOperatorMacs: (_, [a], output) => countElements(output) * (a?.at(-1) ?? 1),
  }),
  Einsum: defineOp({
    attributes: { equation: requiredString },
    inputs: [1, 64],
    infer(c) {
      const dims = c.types.map((_, i) => c.type(i).dims);
      try {
        const { inputs, output } = parseEinsum(
          c.attributes.equation,
          dims.map(({ length }) => length),
        );
        const sizes = computeEinsumSizes(inputs, dims);
        return [
          makeValueType(
            c.type(0).dtype,
            output.map((label) => sizes.get(label) ?? 1),
          ),
        ];
      } catch (cause) {
        throw cause instanceof ShiboriError ? c.fail(cause.message) : cause;
      }
    },
    countOperatorMacs({ equation }, dims) {
      const { inputs } = parseEinsum(
        equation,
        dims.map(({ length }) => length),
      );
      return countElements([...computeEinsumSizes(inputs, dims).values()]);
    },
  }),
};
