import { broadcastDims } from '../graph/dims.js';
import { findDtype } from '../graph/element-types.js';
import type { DType } from '../tensor/dtype.js';
import {
  type AttributeSpecs,
  defineOp,
  type InferContext,
  int,
  makeValueType,
  type OpSpec,
  optionalInt,
} from './spec.js';

function inferBroadcast<A>(c: InferContext<A>, first: number, dtype?: DType): ReturnType<OpSpec['infer']> {
  let dims = c.type(first).dims;
  for (let i = first + 1; i < c.types.length; i++) {
    const wider = broadcastDims(dims, c.type(i).dims);
    if (!wider) throw c.fail('the dimensions of its inputs do not broadcast.');
    dims = wider;
  }
  return [makeValueType(dtype ?? c.type(first).dtype, dims)];
}

/** Two inputs that broadcast (NumPy's rules). */
const binary = defineOp({ attributes: {}, inputs: [2, 2], infer: (c) => inferBroadcast(c, 0) });

/** A comparison: two inputs that broadcast, a bool output. */
const comparison = defineOp({ attributes: {}, inputs: [2, 2], infer: (c) => inferBroadcast(c, 0, 'bool') });

/** One input and attributes, an output of the same type. */
export const defineSameTypeOp = <const S extends AttributeSpecs>(attributes: S): OpSpec<S> =>
  defineOp({ attributes, inputs: [1, 1], infer: (c) => [c.type(0)] });

/** One input, an output of the same type. */
export const unary = defineSameTypeOp({});

/** Any number of inputs that broadcast. */
const variadic = defineOp({ attributes: {}, inputs: [1, 1024], infer: (c) => inferBroadcast(c, 0) });

/** A question about each element, answered by a bool. */
const defineBoolOp = <const S extends AttributeSpecs>(attributes: S): OpSpec<S> =>
  defineOp({ attributes, inputs: [1, 1], infer: (c) => [makeValueType('bool', c.type(0).dims)] });

/** Operators that work element by element. */
export const elementwise = {
  Add: binary,
  Sub: binary,
  Mul: binary,
  Div: binary,
  Pow: binary,
  Mod: defineOp({ attributes: { fmod: int(0) }, inputs: [2, 2], infer: (c) => inferBroadcast(c, 0) }),
  Min: variadic,
  Max: variadic,
  Sum: variadic,
  Mean: variadic,
  Neg: unary,
  Abs: unary,
  Sign: unary,
  Reciprocal: unary,
  Exp: unary,
  Log: unary,
  Sqrt: unary,
  Erf: unary,
  Floor: unary,
  Ceil: unary,
  Round: unary,
  Sin: unary,
  Cos: unary,
  Tan: unary,
  Asin: unary,
  Acos: unary,
  Atan: unary,
  Sinh: unary,
  Cosh: unary,
  Asinh: unary,
  Acosh: unary,
  Atanh: unary,
  Identity: unary,
  Not: unary,
  IsNaN: defineBoolOp({}),
  IsInf: defineBoolOp({ detect_negative: int(1), detect_positive: int(1) }),
  Clip: defineOp({ attributes: {}, inputs: [1, 3], infer: (c) => [c.type(0)] }),
  Equal: comparison,
  Greater: comparison,
  GreaterOrEqual: comparison,
  Less: comparison,
  LessOrEqual: comparison,
  And: comparison,
  Or: comparison,
  Xor: comparison,
  Where: defineOp({
    attributes: {},
    inputs: [3, 3],
    infer(c) {
      const branches = broadcastDims(c.type(1).dims, c.type(2).dims);
      const dims = branches && broadcastDims(c.type(0).dims, branches);
      if (!dims) throw c.fail('the dimensions of its inputs do not broadcast.');
      return [makeValueType(c.type(1).dtype, dims)];
    },
  }),
  Cast: defineOp({
    attributes: { to: int(1), saturate: optionalInt },
    inputs: [1, 1],
    infer(c) {
      const dtype = findDtype(c.attributes.to);
      if (!dtype) throw c.fail(`it casts to ONNX's element type ${c.attributes.to}, which is not supported.`);
      return [makeValueType(dtype, c.type(0).dims)];
    },
  }),
};
