import type { reduction as specs } from '../../../src/ops/reduction.js';
import type { Op } from '../../../src/ops/table.js';
import { type Cases, reduce } from './support.js';

export const reduction: Cases<keyof typeof specs & Op> = {
  ReduceSum: reduce,
  ReduceMean: reduce,
  ReduceMax: reduce,
  ReduceMin: reduce,
};
