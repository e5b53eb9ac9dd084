import type { reduction as specs } from '../../../src/ops/reduction.js';
import type { Op } from '../../../src/ops/table.js';
import { type Cases, fed, integers, reductions } from './support.js';

export const reduction: Cases<keyof typeof specs & Op> = {
  ReduceSum: reductions(),
  ReduceMean: reductions(),
  ReduceMax: reductions(),
  ReduceMin: reductions(),
  ArgMax: [
    { inputs: [fed([3, 4])] },
    { inputs: [integers([3, 4, 5], 0, 3, 'float32')], attributes: { axis: -1, keepdims: 0 } },
    { inputs: [integers([3, 4, 5], 0, 3, 'float32')], attributes: { axis: 1, select_last_index: 1 } },
  ],
};

/** Their results are made of given elements or of integers: engines must agree to the bit. */
export const exact: readonly Op[] = ['ReduceMax', 'ReduceMin', 'ArgMax'];
