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
  Slice: [
    { inputs: [fed([4, 5]), ints(1, 0), ints(3, 4)] },
    { inputs: [fed([4, 5]), ints(-3), ints(1000), ints(1)] },
    { inputs: [fed([4, 5]), ints(-1), ints(-1000), ints(0), ints(-1)] },
    { inputs: [fed([4, 7]), ints(6, 0), ints(0, 4), ints(-1, 0), ints(-2, 3)] },
    { inputs: [fed([4, 5]), ints(3), ints(1), ints(0)] },
    { inputs: [integers([6]), constant(int64([1])), constant(tensor('int64', [1], BigInt64Array.of(2n ** 63n - 1n)))] },
  ],
  Gather: [
    { inputs: [fed([4, 3]), constant(int64([2, 0, -1, 2]))] },
    { inputs: [fed([4, 3, 2]), constant(int64([2, 0, 1, 1], [2, 2]))], attributes: { axis: 1 } },
    { inputs: [integers([4]), constant(int64([1], []))] },
  ],
  GatherElements: [
    { inputs: [fed([3, 3]), constant(int64([0, 2, 1, -1], [2, 2]))] },
    { inputs: [fed([2, 3]), constant(int64([0, 2, 1, 0], [2, 2]))], attributes: { axis: 1 } },
  ],
  ScatterElements: [
    { inputs: [fed([3, 3]), constant(int64([1, 0, 2, 0, -1, 1], [2, 3])), fed([2, 3])] },
    {
      inputs: [fed([2, 4]), constant(int64([1, 1, 3, 1, 0, 0], [2, 3])), fed([2, 3])],
      attributes: { axis: 1, reduction: 'add' },
    },
    {
      inputs: [fed([2, 4]), constant(int64([1, 1, 0, 0], [2, 2])), fed([2, 2])],
      attributes: { axis: -1, reduction: 'mul' },
    },
    {
      inputs: [fed([2, 4]), constant(int64([1, 1, 0, 0], [2, 2])), fed([2, 2])],
      attributes: { axis: 1, reduction: 'max' },
    },
    {
      inputs: [fed([2, 4]), constant(int64([1, 1, 0, 0], [2, 2])), fed([2, 2])],
      attributes: { axis: 1, reduction: 'min' },
    },
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
  ConstantOfShape: [
    { inputs: [ints(2, 3)] },
    { inputs: [ints(4)], attributes: { value: int64([7]) } },
    { inputs: [ints()], attributes: { value: tensor('float32', [1], Float32Array.of(2.5)) } },
  ],
  OneHot: [
    {
      inputs: [
        integers([4], -2, 4),
        constant(int64([3], [])),
        constant(tensor('float32', [2], Float32Array.of(0.5, 2))),
      ],
    },
    {
      inputs: [
        integers([2, 3], 0, 4),
        constant(int64([4], [])),
        constant(tensor('float32', [2], Float32Array.of(0, 1))),
      ],
      attributes: { axis: 1 },
    },
    {
      inputs: [integers([2, 3], 0, 4), constant(int64([5], [])), constant(int64([0, 1]))],
      attributes: { axis: 0 },
    },
  ],
};

/** Their results are made of given elements or of integers: engines must agree to the bit. */
export const exact: readonly Op[] = [
  'Flatten',
  'Reshape',
  'Transpose',
  'Concat',
  'Slice',
  'Gather',
  'GatherElements',
  'Squeeze',
  'Unsqueeze',
  'Expand',
  'Pad',
  'Shape',
  'ConstantOfShape',
  'OneHot',
];
