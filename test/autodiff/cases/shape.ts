import type { shape as specs } from '../../../src/ops/shape.js';
import type { Op } from '../../../src/ops/table.js';
import { type Cases, fed, frozen, ints } from './support.js';

export const shape: Cases<keyof typeof specs & Op> = {
  Flatten: [
    { name: 'default axis', inputs: [fed([2, 3, 2])] },
    { name: 'axis 0', inputs: [fed([2, 3])], attributes: { axis: 0 } },
  ],
  Reshape: [
    { name: 'fixed', inputs: [fed([2, 6]), ints(3, 4)] },
    { name: 'copied and open axes', inputs: [fed([2, 3, 2]), ints(0, -1)] },
  ],
  Squeeze: [
    { name: 'one axis', inputs: [fed([2, 1, 3, 1]), ints(1)] },
    { name: 'every axis of 1', inputs: [fed([2, 1, 3, 1])] },
  ],
  Unsqueeze: [{ name: 'two axes', inputs: [fed([2, 3]), ints(0, -1)] }],
  Transpose: [
    { name: 'a rotation', inputs: [fed([2, 3, 4])], attributes: { perm: [1, 2, 0] } },
    { name: 'default order', inputs: [fed([2, 3, 4])] },
  ],
  Concat: [
    { name: 'last axis', inputs: [fed([2, 3]), frozen([2, 1]), fed([2, 2])], attributes: { axis: -1 } },
    { name: 'first axis', inputs: [fed([2, 3]), fed([1, 3])], attributes: { axis: 0 } },
  ],
  Split: [
    { name: 'the first of two parts', inputs: [fed([2, 5]), ints(3, 2)], attributes: { axis: 1 }, outputs: 2 },
    { name: 'equal parts, the last one shorter', inputs: [fed([5, 2])], attributes: { num_outputs: 3 }, outputs: 3 },
  ],
  Tile: [
    { name: 'two axes', inputs: [fed([2, 3]), ints(2, 3)] },
    { name: 'one axis', inputs: [fed([2, 1, 3]), ints(1, 4, 1)] },
    { name: 'once', inputs: [fed([2, 3]), ints(1, 1)] },
  ],
  Slice: [
    { name: 'one axis', inputs: [fed([4, 3]), ints(1), ints(3)] },
    { name: 'two axes from the end', inputs: [fed([4, 5]), ints(-3, 0), ints(-1, 1000), ints(1, 0)] },
    { name: 'a step', inputs: [fed([3, 7]), ints(1), ints(7), ints(1), ints(3)] },
    { name: 'a step that ends at the border', inputs: [fed([3, 7]), ints(0), ints(7), ints(1), ints(2)] },
    { name: 'backwards', inputs: [fed([3, 5]), ints(-1), ints(-100), ints(1), ints(-1)] },
    {
      name: 'backwards by two, and forwards by two',
      inputs: [fed([5, 6]), ints(3, 0), ints(-100, 6), ints(0, 1), ints(-2, 2)],
    },
  ],
  Expand: [
    { name: 'an axis of 1', inputs: [fed([2, 1, 3]), ints(2, 4, 3)] },
    { name: 'new axes', inputs: [fed([3]), ints(2, 2, 1)] },
  ],
  Pad: [
    { name: 'zeros', inputs: [fed([2, 3]), ints(1, 0, 0, 2)] },
    { name: 'a value with a gradient, one axis', inputs: [fed([2, 3]), ints(2, 1), fed([]), ints(-1)] },
    { name: 'negative', inputs: [fed([3, 4]), ints(-1, 2, 2, -1), fed([])] },
    { name: 'reflect', inputs: [fed([2, 4, 5]), ints(0, 2, 1, 0, 1, 3)], attributes: { mode: 'reflect' } },
    { name: 'edge', inputs: [fed([2, 3, 2]), ints(0, 2, 1, 0, 0, 3)], attributes: { mode: 'edge' } },
    { name: 'edge, one axis', inputs: [fed([3, 2]), ints(1, 2), undefined, ints(0)], attributes: { mode: 'edge' } },
    {
      name: 'wrap',
      inputs: [fed([4, 3]), ints(1, 2, 2, 0)],
      attributes: { mode: 'wrap' },
      notOnRuntime: 'wrap belongs to operator set 19',
    },
  ],
};
