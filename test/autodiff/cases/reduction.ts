import type { reduction as specs } from '../../../src/ops/reduction.js';
import type { Op } from '../../../src/ops/table.js';
import { type Cases, fed, ints, reduce } from './support.js';

export const reduction: Cases<keyof typeof specs & Op> = {
  ReduceSum: reduce,
  ReduceMean: reduce,
  ReduceMax: reduce,
  ReduceMin: reduce,
  ReduceProd: reduce,
  ReduceL1: reduce,
  ReduceL2: reduce,
  ReduceSumSquare: reduce,
  ReduceLogSum: [
    { name: 'one axis, kept', inputs: [fed([2, 3, 4], 0.3, 3), ints(1)] },
    { name: 'two axes, dropped', inputs: [fed([2, 3, 4], 0.3, 3), ints(-1, 0)], attributes: { keepdims: 0 } },
  ],
  ReduceLogSumExp: reduce.slice(0, 3),
  CumSum: [
    { name: 'last axis', inputs: [fed([2, 3]), ints(-1)] },
    { name: 'first axis, from the end', inputs: [fed([3, 2]), ints(0)], attributes: { reverse: 1 } },
    { name: 'without the element itself', inputs: [fed([2, 4]), ints(1)], attributes: { exclusive: 1 } },
  ],
};
