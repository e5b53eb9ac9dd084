import type { shape as specs } from '../../../src/ops/shape.js';
import type { Op } from '../../../src/ops/table.js';
import { int64, tensor } from '../../../src/tensor/tensor.js';
import { type Cases, constant, fed, integers, ints, scalar } from './support.js';

export const shape: Cases<keyof typeof specs & Op> = {
  Flatten: [
    { inputs: [fed([2, 3, 4])] },
    { inputs: [fed([2, 3, 4])], attributes: { axis: 0 } },
    { inputs: [fed([2, 3, 4])], attributes: { axis: -1 } },
    { inputs: [fed([2, 3, 4])], attributes: { axis: 3 } },
  ],
  Reshape: [
    { inputs: [fed([2, 3, 4]), ints(6, 4)] },
    { inputs: [fed([2, 3, 4]), ints(0, -1)] },
    { inputs: [fed([2, 3, 4]), ints(-1)] },
    { inputs: [fed([1, 1]), ints()] },
    { inputs: [fed([0, 3]), ints(3, 0)], attributes: { allowzero: 1 } },
  ],
  Transpose: [
    { inputs: [fed([2, 3, 4])] },
    { inputs: [fed([2, 3, 4])], attributes: { perm: [1, 0, 2] } },
    { inputs: [integers([2, 1, 3, 2])], attributes: { perm: [3, 0, 1, 2] } },
  ],
  Concat: [
    { inputs: [fed([2, 3]), fed([1, 3])], attributes: { axis: 0 } },
    { inputs: [fed([2, 3, 2]), fed([2, 1, 2]), fed([2, 2, 2])], attributes: { axis: 1 } },
    { inputs: [integers([2, 3]), integers([2, 2])], attributes: { axis: -1 } },
  ],
  Split: [
    { inputs: [fed([2, 5, 2]), ints(1, 4)], attributes: { axis: 1 }, outputs: 2 },
    { inputs: [fed([4, 6])], attributes: { axis: -1, num_outputs: 3 }, outputs: 3 },
    { inputs: [integers([3, 5])], attributes: { axis: 1, num_outputs: 2 }, outputs: 2 },
  ],
  Tile: [
    { inputs: [fed([2, 3]), ints(2, 3)] },
    { inputs: [integers([1, 2, 2]), ints(3, 1, 2)] },
    { inputs: [fed([3]), ints(1)] },
  ],
  Size: [{ inputs: [fed([2, 3, 4])] }, { inputs: [fed([])] }],
  Slice: [
    { inputs: [fed([4, 5]), ints(1, 0), ints(3, 4)] },
    { inputs: [fed([4, 5]), ints(-3), ints(1000), ints(1)] },
    { inputs: [fed([4, 5]), ints(-1), ints(-1000), ints(0), ints(-1)] },
    { inputs: [fed([4, 7]), ints(6, 0), ints(0, 4), ints(-1, 0), ints(-2, 3)] },
    { inputs: [fed([4, 5]), ints(3), ints(1), ints(0)] },
    { inputs: [integers([6]), constant(int64([1])), constant(tensor('int64', [1], BigInt64Array.of(2n ** 63n - 1n)))] },
  ],
  Squeeze: [
    { inputs: [fed([2, 1, 3, 1]), ints(1)] },
    { inputs: [fed([2, 1, 3, 1]), ints(-1, 1)] },
    { inputs: [fed([2, 1, 3, 1])] },
  ],
  Unsqueeze: [
    { inputs: [fed([2, 3]), ints(0, 3)] },
    { inputs: [fed([2, 3]), ints(-1)] },
    { inputs: [fed([]), ints(0)] },
  ],
  Expand: [
    { inputs: [fed([3, 1]), ints(2, 1, 4)] },
    { inputs: [fed([2, 3]), ints(1)] },
    { inputs: [integers([]), ints(2, 2)] },
  ],
  Pad: [
    { inputs: [fed([2, 3]), ints(0, 1, 2, 0)] },
    { inputs: [fed([2, 3]), ints(1, 1, 0, 2), scalar(7)] },
    { inputs: [fed([4, 5]), ints(-1, 0, 1, -2), scalar(1)] },
    { inputs: [fed([2, 3]), ints(1, 2), undefined, ints(-1)] },
    { inputs: [fed([3, 4]), ints(2, 1, 1, 3)], attributes: { mode: 'reflect' } },
    { inputs: [fed([2, 3]), ints(2, 1, 1, 3)], attributes: { mode: 'edge' } },
    { inputs: [integers([2, 3]), ints(1, 0, 0, 1)] },
  ],
  Shape: [
    { inputs: [fed([2, 3, 4])] },
    { inputs: [fed([2, 3, 4])], attributes: { start: 1 } },
    { inputs: [fed([2, 3, 4])], attributes: { start: -2, end: -1 } },
    { inputs: [fed([2, 3, 4])], attributes: { start: 2, end: 1 } },
    { inputs: [fed([2, 3, 4])], attributes: { start: -9, end: 9 } },
  ],
};

/** Their results are made of given elements or of integers: engines must agree to the bit. */
export const exact: readonly Op[] = [
  'Flatten',
  'Reshape',
  'Transpose',
  'Concat',
  'Slice',
  'Squeeze',
  'Unsqueeze',
  'Expand',
  'Split',
  'Tile',
  'Size',
  'Pad',
  'Shape',
];
