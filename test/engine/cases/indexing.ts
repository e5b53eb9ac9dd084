import type { indexing as specs } from '../../../src/ops/indexing.js';
import type { Op } from '../../../src/ops/table.js';
import { float32, int64, tensor } from '../../../src/tensor/tensor.js';
import { bools, type Cases, constant, fed, integers, ints, scalar } from './support.js';

export const indexing: Cases<keyof typeof specs & Op> = {
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
  GatherND: [
    { inputs: [fed([3, 4]), constant(int64([2, 0, -1], [3, 1]))] },
    { inputs: [fed([3, 4, 2]), constant(int64([2, 0, -1, 3], [2, 2]))] },
    { inputs: [fed([2, 3, 2]), constant(int64([1, 1, 0, 2], [2, 2, 1]))], attributes: { batch_dims: 1 } },
  ],
  ScatterND: [
    { inputs: [fed([4, 2]), constant(int64([3, 1], [2, 1])), fed([2, 2])] },
    { inputs: [fed([3, 2]), constant(int64([1, 1, -1, 0], [2, 2])), fed([2])] },
    { inputs: [fed([3, 2]), constant(int64([1, 1, 1, 1], [2, 2])), fed([2])], attributes: { reduction: 'add' } },
    { inputs: [fed([3, 2]), constant(int64([1, 1, 1, 1], [2, 2])), fed([2])], attributes: { reduction: 'mul' } },
  ],
  TopK: [
    { inputs: [fed([3, 5]), ints(2)], outputs: 2 },
    { inputs: [fed([4, 3]), ints(3)], attributes: { axis: 0, largest: 0 }, outputs: 2 },
    { inputs: [integers([3, 6], -2, 2, 'float32'), ints(4)], outputs: 2 },
  ],
  Trilu: [
    { inputs: [fed([2, 3, 4])] },
    { inputs: [fed([4, 3]), constant(int64([-1], []))], attributes: { upper: 0 } },
    { inputs: [integers([3, 3]), constant(int64([1], []))] },
  ],
  ReverseSequence: [
    { inputs: [fed([4, 2, 3]), constant(int64([3, 1]))] },
    { inputs: [fed([2, 4]), constant(int64([2, 4]))], attributes: { batch_axis: 0, time_axis: 1 } },
  ],
  NonZero: [
    { inputs: [constant(int64([0, 1, 2, 0, 0, 3], [2, 3]))] },
    { inputs: [constant(float32([0, -1]))] },
    { inputs: [constant(bools([2, 2]).data)] },
  ],
  EyeLike: [
    { inputs: [fed([3, 3])] },
    { inputs: [fed([2, 4])], attributes: { k: 1, dtype: 7 } },
    { inputs: [fed([4, 3])], attributes: { k: -2 } },
  ],
  Range: [
    { inputs: [constant(int64([1], [])), constant(int64([10], [])), constant(int64([3], []))] },
    { inputs: [constant(int64([5], [])), constant(int64([0], [])), constant(int64([-2], []))] },
    { inputs: [scalar(0), scalar(1), scalar(0.3)] },
  ],
};

/** Their results are made of given elements or of integers: engines must agree to the bit. */
export const exact: readonly Op[] = [
  'Gather',
  'GatherElements',
  'GatherND',
  'ConstantOfShape',
  'OneHot',
  'TopK',
  'Trilu',
  'ReverseSequence',
  'NonZero',
  'EyeLike',
];
