import type { convolution as specs } from '../../../src/ops/convolution.js';
import type { Op } from '../../../src/ops/table.js';
import { int64 } from '../../../src/tensor/tensor.js';
import { type Cases, constant, conv, fed, frozen, globalPool, ints } from './support.js';

export const convolution: Cases<keyof typeof specs & Op> = {
  Conv: [
    { name: '3x3 with bias', inputs: conv([2, 5, 5, 4], [3, 5, 3, 3]), attributes: { pads: [1, 1, 1, 1] } },
    { name: 'few channels', inputs: conv([2, 2, 5, 4], [3, 2, 3, 3]), attributes: { pads: [1, 1, 1, 1] } },
    { name: 'large', inputs: conv([2, 5, 32, 32], [2, 5, 3, 3]), attributes: { pads: [1, 1, 1, 1] } },
    {
      name: 'large, dilated, uneven padding',
      inputs: conv([1, 5, 36, 33], [2, 5, 3, 2]),
      attributes: { pads: [2, 0, 1, 1], dilations: [2, 1] },
    },
    { name: 'large, 1x1', inputs: conv([1, 5, 32, 32], [2, 5, 1, 1]) },
    { name: 'frozen weights', inputs: [fed([1, 5, 6, 7]), frozen([4, 5, 3, 3])], attributes: { pads: [1, 1, 1, 1] } },
    {
      name: 'frozen weights, grouped',
      inputs: [fed([1, 4, 6, 7]), frozen([6, 2, 3, 2])],
      attributes: { pads: [1, 1, 1, 1], group: 2 },
    },
    {
      name: 'more padding than the kernel is wide',
      inputs: conv([1, 5, 4, 5], [2, 5, 2, 2]),
      attributes: { pads: [2, 0, 0, 2] },
    },
    {
      name: 'strides that leave rows over',
      inputs: conv([2, 5, 6, 8], [3, 5, 3, 2]),
      attributes: { strides: [2, 3], pads: [0, 1, 1, 0] },
    },
    {
      name: 'few channels, strided and dilated',
      inputs: conv([2, 2, 9, 8], [2, 2, 2, 3]),
      attributes: { strides: [2, 1], dilations: [3, 2], pads: [0, 1, 1, 0] },
    },
    {
      name: 'strided and dilated',
      inputs: conv([1, 5, 9, 8], [2, 5, 2, 3]),
      attributes: { strides: [2, 1], dilations: [3, 2] },
    },
    {
      name: 'SAME_UPPER',
      inputs: conv([1, 5, 5, 6], [2, 5, 2, 3]),
      attributes: { auto_pad: 'SAME_UPPER', strides: [2, 2] },
    },
    {
      name: 'SAME_LOWER',
      inputs: conv([1, 5, 5, 6], [2, 5, 2, 3]),
      attributes: { auto_pad: 'SAME_LOWER', strides: [2, 2] },
    },
    { name: 'VALID', inputs: conv([1, 5, 5, 6], [2, 5, 2, 3]), attributes: { auto_pad: 'VALID' } },
    { name: 'groups', inputs: conv([2, 4, 4, 4], [6, 2, 3, 3]), attributes: { group: 2, pads: [1, 1, 1, 1] } },
    {
      name: 'groups, strided, padded and dilated',
      inputs: conv([2, 6, 7, 6], [4, 3, 2, 3]),
      attributes: { group: 2, strides: [3, 2], pads: [1, 0, 0, 1], dilations: [2, 1] },
    },
    { name: 'depthwise', inputs: conv([2, 3, 5, 5], [3, 1, 3, 3]), attributes: { group: 3, strides: [2, 2] } },
    { name: 'depthwise, two outputs a channel', inputs: conv([2, 3, 4, 4], [6, 1, 2, 2]), attributes: { group: 3 } },
    { name: '1x1', inputs: conv([2, 5, 3, 3], [4, 5, 1, 1]) },
    { name: 'patches', inputs: conv([2, 3, 6, 8], [4, 3, 3, 2]), attributes: { strides: [3, 2] } },
    {
      name: 'patches that leave a row over',
      inputs: conv([2, 3, 7, 8], [4, 3, 3, 2]),
      attributes: { strides: [3, 2] },
    },
    { name: 'patches of 40x40', inputs: conv([1, 1, 40, 40], [2, 1, 40, 40]), attributes: { strides: [40, 40] } },
    { name: '1-D patches', inputs: conv([2, 2, 9], [3, 2, 3]), attributes: { strides: [3] } },
    { name: '1x1, strided', inputs: conv([2, 5, 5, 4], [4, 5, 1, 1]), attributes: { strides: [2, 2] } },
    { name: '1-D', inputs: conv([2, 5, 7], [3, 5, 3]), attributes: { strides: [2], pads: [1, 1] } },
    { name: '1-D, few channels', inputs: conv([2, 2, 7], [3, 2, 3]), attributes: { dilations: [2] } },
    { name: 'without a bias', inputs: conv([1, 5, 4, 4], [2, 5, 3, 3]).slice(0, 2) },
    { name: 'the kernel covers the input', inputs: conv([2, 5, 3, 3], [4, 5, 3, 3]) },
  ],
  ConvTranspose: [
    {
      name: 'stride 2 with bias',
      inputs: [fed([2, 3, 3, 4]), fed([3, 2, 3, 3]), fed([2])],
      attributes: { strides: [2, 2] },
    },
    {
      name: 'padding, output padding, dilation',
      inputs: [fed([1, 2, 3, 3]), fed([2, 2, 3, 2])],
      attributes: { strides: [2, 3], pads: [1, 0, 1, 1], output_padding: [1, 2], dilations: [1, 2] },
    },
    { name: 'groups', inputs: [fed([1, 4, 3, 3]), fed([4, 3, 2, 2]), fed([6])], attributes: { group: 2 } },
    { name: '1-D', inputs: [fed([2, 2, 4]), fed([2, 3, 3])], attributes: { strides: [2] } },
    {
      name: 'output_shape',
      inputs: [fed([1, 2, 3, 3]), fed([2, 2, 3, 3]), fed([2])],
      attributes: { strides: [2, 2], output_shape: [6, 5] },
    },
    {
      name: 'an output_shape beyond what is reached',
      inputs: [fed([1, 2, 3, 3]), fed([2, 3, 2, 3])],
      attributes: { strides: [2, 3], output_shape: [7, 10] },
    },
    {
      name: 'SAME_UPPER',
      inputs: [fed([1, 2, 3, 4]), fed([2, 2, 3, 3])],
      attributes: { strides: [2, 2], auto_pad: 'SAME_UPPER' },
    },
    {
      name: 'SAME_LOWER',
      inputs: [fed([1, 2, 3, 4]), fed([2, 2, 3, 4])],
      attributes: { strides: [2, 1], auto_pad: 'SAME_LOWER' },
    },
  ],
  MaxPool: [
    { name: '2x2', inputs: [fed([2, 2, 4, 6])], attributes: { kernel_shape: [2, 2], strides: [2, 2] } },
    { name: '2x2, rows left over', inputs: [fed([2, 2, 5, 7])], attributes: { kernel_shape: [2, 2], strides: [2, 2] } },
    { name: 'windows apart', inputs: [fed([1, 2, 7, 8])], attributes: { kernel_shape: [2, 2], strides: [3, 3] } },
    {
      name: 'overlapping and padded',
      inputs: [fed([2, 2, 5, 6])],
      attributes: { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] },
    },
    { name: 'dilated', inputs: [fed([1, 2, 6, 6])], attributes: { kernel_shape: [2, 2], dilations: [2, 3] } },
    {
      name: 'ceil mode',
      inputs: [fed([1, 2, 6, 5])],
      attributes: { kernel_shape: [3, 3], strides: [2, 2], ceil_mode: 1 },
    },
    {
      name: 'ceil mode, windows that do not overlap',
      inputs: [fed([1, 2, 5, 5])],
      attributes: { kernel_shape: [2, 2], strides: [2, 2], ceil_mode: 1 },
    },
    {
      name: 'SAME_UPPER',
      inputs: [fed([1, 2, 5, 4])],
      attributes: { kernel_shape: [2, 2], strides: [2, 2], auto_pad: 'SAME_UPPER' },
    },
    { name: '1-D', inputs: [fed([2, 2, 9])], attributes: { kernel_shape: [3], strides: [3] } },
  ],
  MaxUnpool: [
    {
      name: '2x2',
      inputs: [fed([1, 1, 2, 2]), constant(int64([1, 6, 8, 15], [1, 1, 2, 2])), ints(1, 1, 4, 4)],
      attributes: { kernel_shape: [2, 2], strides: [2, 2] },
    },
  ],
  AveragePool: [
    { name: '2x2', inputs: [fed([2, 2, 4, 6])], attributes: { kernel_shape: [2, 2], strides: [2, 2] } },
    {
      name: 'padding not counted',
      inputs: [fed([2, 2, 5, 6])],
      attributes: { kernel_shape: [3, 2], strides: [2, 1], pads: [1, 0, 1, 1] },
    },
    {
      name: 'padding counted',
      inputs: [fed([2, 2, 5, 6])],
      attributes: { kernel_shape: [3, 2], strides: [2, 1], pads: [1, 0, 1, 1], count_include_pad: 1 },
    },
    {
      name: 'ceil mode',
      inputs: [fed([1, 2, 6, 5])],
      attributes: { kernel_shape: [3, 2], strides: [2, 2], ceil_mode: 1 },
    },
    {
      name: 'ceil mode, padding counted',
      inputs: [fed([1, 2, 6, 5])],
      attributes: { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1], ceil_mode: 1, count_include_pad: 1 },
    },
    {
      name: 'dilated',
      inputs: [fed([1, 2, 6, 6])],
      attributes: { kernel_shape: [2, 2], dilations: [2, 3] },
      notOnRuntime: 'dilations belong to operator set 19',
    },
    {
      name: 'SAME_LOWER',
      inputs: [fed([1, 2, 5, 4])],
      attributes: { kernel_shape: [2, 2], strides: [2, 2], auto_pad: 'SAME_LOWER' },
    },
    { name: '1-D', inputs: [fed([2, 2, 9])], attributes: { kernel_shape: [3], strides: [2] } },
    { name: '3-D', inputs: [fed([1, 2, 4, 3, 5])], attributes: { kernel_shape: [2, 3, 2], strides: [2, 1, 2] } },
  ],
  GlobalAveragePool: globalPool,
  GlobalMaxPool: globalPool,
};
