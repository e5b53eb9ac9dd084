import type { elementwise as specs } from '../../../src/ops/elementwise.js';
import type { Op } from '../../../src/ops/table.js';
import { float32 } from '../../../src/tensor/tensor.js';
import {
  binary,
  bools,
  type Cases,
  constant,
  extremum,
  fed,
  ints,
  numbers,
  positive,
  scalar,
  unary,
} from './support.js';

const inside = [{ name: 'between -0.9 and 0.9', inputs: [fed([2, 3], -0.9, 0.9)] }];

export const elementwise: Cases<keyof typeof specs & Op> = {
  Add: binary,
  Sub: binary,
  Mul: binary,
  Div: [
    { name: 'equal dimensions', inputs: [fed([2, 3]), fed([2, 3], 0.5, 2)] },
    { name: 'the divisor broadcasts', inputs: [fed([2, 3]), fed([3], -2, -0.5)] },
    { name: 'the dividend broadcasts', inputs: [fed([1]), fed([2, 3], 0.5, 2)] },
  ],
  Pow: [
    { name: 'base and exponent', inputs: [fed([2, 3], 0.3, 2), fed([3])] },
    { name: 'a square', inputs: [fed([4]), scalar(2)] },
    { name: 'the first power', inputs: [fed([4]), scalar(1)] },
    { name: 'a constant fraction', inputs: [fed([4], 0.2, 2), scalar(-1.5)] },
    { name: 'power 0 and base 0', inputs: [numbers(0, 1.5), constant(float32([0, 3]))] },
    { name: 'an int64 exponent', inputs: [fed([4]), ints(3)] },
  ],
  Min: extremum,
  Max: extremum,
  Mod: [
    { name: 'as fmod', inputs: [fed([2, 3], -7, 7), fed([3], 1, 2)], attributes: { fmod: 1 } },
    { name: 'a constant divisor', inputs: [fed([4], -7, 7), scalar(1.7)], attributes: { fmod: 1 } },
  ],
  Sum: extremum,
  Mean: extremum,
  Neg: unary,
  Abs: unary,
  Reciprocal: positive,
  Exp: unary,
  Log: positive,
  Sqrt: positive,
  Erf: unary,
  Sin: unary,
  Cos: unary,
  Tan: inside,
  Asin: inside,
  Acos: inside,
  Atan: unary,
  Sinh: unary,
  Cosh: unary,
  Asinh: unary,
  Acosh: [{ name: 'above 1', inputs: [fed([2, 3], 1.2, 4)] }],
  Atanh: inside,
  Identity: unary,
  Clip: [
    { name: 'fixed bounds', inputs: [fed([3, 4]), scalar(-1), scalar(1)] },
    { name: 'bounds with gradients', inputs: [fed([3, 4]), fed([], -1, -0.5), fed([], 0.5, 1)] },
    { name: 'upper bound only', inputs: [fed([3, 4]), undefined, fed([], 0, 1)] },
    { name: 'lower bound only', inputs: [fed([3, 4]), fed([], 0, 1)] },
    { name: 'no bounds', inputs: [fed([3, 4])] },
    { name: 'lower bound above the upper one', inputs: [fed([3, 4]), fed([], 0.5, 1), fed([], -1, -0.5)] },
  ],
  Where: [
    { name: 'equal dimensions', inputs: [bools([3, 4]), fed([3, 4]), fed([3, 4])] },
    { name: 'all three broadcast', inputs: [bools([3, 1]), fed([4]), fed([2, 1, 1])] },
  ],
  Cast: [{ name: 'float32 to float64', inputs: [fed([2, 3])], attributes: { to: 11 } }],
};
