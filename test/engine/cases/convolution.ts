import type { convolution as specs } from '../../../src/ops/convolution.js';
import type { Op } from '../../../src/ops/table.js';
import { int64 } from '../../../src/tensor/tensor.js';
import { type Cases, fed, ints, pools, windows } from './support.js';

export const convolution: Cases<keyof typeof specs & Op> = {
  Conv: [
    { inputs: [fed([2, 3, 6, 7]), fed([4, 3, 3, 3])] },
    { inputs: [fed([2, 3, 6, 7]), fed([4, 3, 3, 3]), fed([4])], attributes: { pads: [1, 1, 1, 1] } },
    {
      inputs: [fed([1, 4, 9, 8]), fed([6, 2, 3, 2]), fed([6])],
      attributes: { group: 2, strides: [2, 3], pads: [0, 1, 2, 0] },
    },
    { inputs: [fed([1, 4, 9, 8]), fed([4, 1, 3, 3])], attributes: { group: 4, dilations: [2, 1], pads: [2, 1, 2, 1] } },
    { inputs: [fed([1, 2, 7, 6]), fed([3, 2, 3, 2])], attributes: { auto_pad: 'SAME_UPPER', strides: [2, 2] } },
    {
      inputs: [fed([1, 2, 7, 6]), fed([3, 2, 3, 2])],
      attributes: { auto_pad: 'SAME_LOWER', strides: [2, 1], kernel_shape: [3, 2] },
    },
    { inputs: [fed([1, 2, 7, 6]), fed([3, 2, 3, 2])], attributes: { auto_pad: 'VALID' } },
    { inputs: [fed([2, 3, 10]), fed([4, 3, 4])], attributes: { strides: [2], pads: [1, 2] } },
    { inputs: [fed([1, 2, 4, 5, 4]), fed([3, 2, 2, 3, 2]), fed([3])], attributes: { pads: [1, 0, 0, 0, 1, 1] } },
    { inputs: [fed([2, 3, 5, 5]), fed([4, 3, 1, 1])], attributes: { strides: [2, 2] } },
  ],
  ConvTranspose: [
    { inputs: [fed([2, 3, 4, 5]), fed([3, 4, 3, 3])] },
    { inputs: [fed([2, 3, 4, 5]), fed([3, 4, 3, 3]), fed([4])], attributes: { strides: [2, 2], pads: [1, 1, 1, 1] } },
    {
      inputs: [fed([1, 4, 4, 5]), fed([4, 3, 3, 2]), fed([6])],
      attributes: { group: 2, strides: [2, 3], output_padding: [1, 2] },
    },
    { inputs: [fed([1, 2, 4, 4]), fed([2, 3, 3, 3])], attributes: { dilations: [2, 1], pads: [0, 1, 2, 0] } },
    { inputs: [fed([1, 2, 4, 4]), fed([2, 3, 3, 3])], attributes: { strides: [2, 2], output_shape: [8, 8] } },
    { inputs: [fed([1, 2, 4, 4]), fed([2, 3, 3, 3])], attributes: { strides: [2, 2], auto_pad: 'SAME_UPPER' } },
    { inputs: [fed([1, 2, 4, 4]), fed([2, 3, 3, 3])], attributes: { strides: [2, 2], auto_pad: 'SAME_LOWER' } },
    { inputs: [fed([2, 3, 6]), fed([3, 2, 4])], attributes: { strides: [3] } },
  ],
  MaxPool: [
    ...pools({}, 2),
    ...pools({ storage_order: 1 }, 2).slice(0, 4),
    { inputs: [fed([1, 2, 9, 9])], attributes: { kernel_shape: [3, 2], dilations: [2, 3] }, outputs: 2 },
    { inputs: [fed([2, 2, 9])], attributes: { kernel_shape: [3], strides: [2] }, outputs: 2 },
    { inputs: [fed([1, 2, 4, 5, 4])], attributes: { kernel_shape: [2, 2, 2] }, outputs: 2 },
  ],
  AveragePool: [
    ...pools(),
    ...windows.map((attributes) => ({
      inputs: [fed([1, 2, 7, 6])],
      attributes: { ...attributes, count_include_pad: 1 },
    })),
    { inputs: [fed([2, 2, 9])], attributes: { kernel_shape: [3], strides: [2] } },
  ],
  GlobalAveragePool: [{ inputs: [fed([2, 3, 4, 5])] }, { inputs: [fed([2, 3, 4])] }],
  GlobalMaxPool: [{ inputs: [fed([2, 3, 4, 5])] }, { inputs: [fed([2, 3, 4])] }],
  MaxUnpool: [
    {
      inputs: [fed([1, 1, 2, 2]), { data: int64([0, 3, 8, 15], [1, 1, 2, 2]), constant: false }],
      attributes: { kernel_shape: [2, 2], strides: [2, 2] },
    },
    {
      inputs: [fed([1, 2, 1, 2]), { data: int64([1, 3, 10, 13], [1, 2, 1, 2]), constant: false }, ints(1, 2, 2, 4)],
      attributes: { kernel_shape: [2, 2], strides: [2, 2] },
    },
  ],
};

/** Their results are made of given elements or of integers: engines must agree to the bit. */
export const exact: readonly Op[] = ['MaxPool', 'GlobalMaxPool', 'MaxUnpool'];
