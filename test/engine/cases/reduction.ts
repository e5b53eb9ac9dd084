import type { reduction as specs } from '../../../src/ops/reduction.js';
import type { Op } from '../../../src/ops/table.js';
import { int64 } from '../../../src/tensor/tensor.js';
import { type Case, type Cases, constant, fed, integers, ints, of, reductions } from './support.js';

const argReductions: readonly Case<'ArgMax'>[] = [
  { inputs: [fed([3, 4])] },
  { inputs: [integers([3, 4, 5], 0, 3, 'float32')], attributes: { axis: -1, keepdims: 0 } },
  { inputs: [integers([3, 4, 5], 0, 3, 'float32')], attributes: { axis: 1, select_last_index: 1 } },
];

export const reduction: Cases<keyof typeof specs & Op> = {
  ReduceSum: reductions(),
  ReduceMean: reductions(),
  ReduceMax: reductions(),
  ReduceMin: reductions(),
  ReduceProd: reductions(),
  ReduceL1: reductions(),
  ReduceL2: reductions(),
  ReduceSumSquare: reductions(),
  ReduceLogSum: [
    { inputs: [fed([2, 3, 4], 0.1, 3)] },
    { inputs: [fed([2, 3, 4], 0.1, 3), ints(-1, 0)], attributes: { keepdims: 0 } },
  ],
  ReduceLogSumExp: [...reductions().slice(0, 4), { inputs: [of([1000, 1001, -1000, 0], [2, 2]), ints(1)] }],
  ArgMax: argReductions,
  ArgMin: argReductions,
  CumSum: [
    { inputs: [fed([2, 3, 4]), ints(1)] },
    { inputs: [fed([2, 3]), constant(int64([-1], []))], attributes: { exclusive: 1 } },
    { inputs: [integers([3, 4]), ints(0)], attributes: { reverse: 1 } },
    { inputs: [fed([5]), ints(0)], attributes: { reverse: 1, exclusive: 1 } },
  ],
};

/** Their results are made of given elements or of integers: engines must agree to the bit. */
export const exact: readonly Op[] = ['ReduceMax', 'ReduceMin', 'ArgMax', 'ArgMin'];
