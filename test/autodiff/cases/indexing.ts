import type { indexing as specs } from '../../../src/ops/indexing.js';
import type { Op } from '../../../src/ops/table.js';
import { int64 } from '../../../src/tensor/tensor.js';
import { type Cases, constant, fed, indices, ints } from './support.js';

export const indexing: Cases<keyof typeof specs & Op> = {
  Gather: [
    { name: 'repeated rows', inputs: [fed([4, 3]), indices([2, 2], [3, 1, 1, 0])] },
    { name: 'columns, negative', inputs: [fed([2, 4, 2]), indices([3], [-1, 2, 2])], attributes: { axis: 1 } },
    { name: 'one element', inputs: [fed([2, 4]), indices([], [2])], attributes: { axis: 1 } },
  ],
  GatherElements: [
    { name: 'one a row', inputs: [fed([3, 4]), indices([3, 1], [2, 0, 3])], attributes: { axis: 1 } },
    { name: 'repeated', inputs: [fed([3, 2]), indices([2, 2], [1, 1, 1, -1])] },
  ],
  ScatterElements: [
    { name: 'replacing', inputs: [fed([3, 4]), indices([3, 1], [2, 0, 3]), fed([3, 1])], attributes: { axis: 1 } },
    {
      name: 'adding, repeated',
      inputs: [fed([3, 2]), indices([2, 2], [1, 1, 1, 0]), fed([2, 2])],
      attributes: { reduction: 'add' },
    },
  ],
  GatherND: [
    { name: 'rows', inputs: [fed([3, 4]), indices([3, 1], [2, 0, 2])] },
    { name: 'elements, negative', inputs: [fed([3, 4]), indices([2, 2], [2, -1, 0, 1])] },
    {
      name: 'a batch dimension',
      inputs: [fed([2, 3, 2]), indices([2, 2, 1], [1, 1, 0, 2])],
      attributes: { batch_dims: 1 },
    },
  ],
  ScatterND: [
    { name: 'replacing rows', inputs: [fed([4, 2]), indices([2, 1], [3, 1]), fed([2, 2])] },
    {
      name: 'adding elements, repeated',
      inputs: [fed([3, 2]), indices([3, 2], [1, 1, 1, 1, 0, 0]), fed([3])],
      attributes: { reduction: 'add' },
    },
  ],
  TopK: [
    { name: 'the largest', inputs: [fed([3, 5]), ints(2)], outputs: 2 },
    {
      name: 'the smallest, first axis',
      inputs: [fed([4, 2]), ints(3)],
      attributes: { axis: 0, largest: 0 },
      outputs: 2,
    },
  ],
  OneHot: [
    { name: 'last axis', inputs: [indices([2, 2], [0, 2, 1, 5]), constant(int64([3])), fed([2])] },
    { name: 'first axis', inputs: [indices([3], [0, -1, 1]), constant(int64([2])), fed([2])], attributes: { axis: 0 } },
  ],
  Trilu: [
    { name: 'upper', inputs: [fed([2, 3, 4])] },
    { name: 'lower, shifted', inputs: [fed([4, 3]), constant(int64([-1], []))], attributes: { upper: 0 } },
  ],
  ReverseSequence: [
    { name: 'two lengths', inputs: [fed([4, 2, 3]), indices([2], [3, 1])] },
    { name: 'batch first', inputs: [fed([2, 4]), indices([2], [2, 4])], attributes: { batch_axis: 0, time_axis: 1 } },
  ],
};
