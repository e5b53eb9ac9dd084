import type { quantization as specs } from '../../../src/ops/quantization.js';
import type { Op } from '../../../src/ops/table.js';
import { tensor } from '../../../src/tensor/tensor.js';
import { type Cases, constant, fed, of } from './support.js';

const int8 = (...values: number[]) => constant(tensor('int8', [values.length], Int8Array.from(values)));
const uint8 = (value: number) => constant(tensor('uint8', [], Uint8Array.of(value)));
const quantised = constant(tensor('int8', [2, 3, 2], Int8Array.from([-128, -5, 0, 1, 2, 127, 9, 8, 7, -7, -8, -9])));

export const quantization: Cases<keyof typeof specs & Op> = {
  QuantizeLinear: [
    // Scales are powers of 2: a division that rounds could land on either side of a half.
    { inputs: [of([0.25, 0.75, -0.25, 100, -100]), constant(of([0.5], []).data)] },
    { inputs: [fed([3, 4]), constant(of([1 / 64], []).data), uint8(128)] },
    { inputs: [fed([2, 3, 2]), constant(of([1 / 64, 1 / 4, 1 / 128]).data), int8(-1, 0, 5)] },
    { inputs: [fed([2, 3]), constant(of([1 / 8, 1 / 2]).data), int8(0, 3)], attributes: { axis: 0 } },
  ],
  DequantizeLinear: [
    { inputs: [quantised, constant(of([0.1], []).data)] },
    { inputs: [quantised, constant(of([0.1, 0.02, 3]).data), int8(1, -4, 7)] },
    { inputs: [quantised, constant(of([0.1, 0.02]).data), int8(1, -4)], attributes: { axis: -1 } },
  ],
};

/** Their results are made of given elements or of integers: engines must agree to the bit. */
export const exact: readonly Op[] = ['QuantizeLinear'];
