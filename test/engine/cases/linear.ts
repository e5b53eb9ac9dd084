import type { linear as specs } from '../../../src/ops/linear.js';
import type { Op } from '../../../src/ops/table.js';
import { type Cases, fed } from './support.js';

export const linear: Cases<keyof typeof specs & Op> = {
  Gemm: [
    { inputs: [fed([3, 4]), fed([4, 5])] },
    { inputs: [fed([3, 4]), fed([5, 4]), fed([5])], attributes: { transB: 1 } },
    { inputs: [fed([4, 3]), fed([4, 5]), fed([3, 1])], attributes: { transA: 1, alpha: 0.5, beta: -2 } },
    { inputs: [fed([4, 3]), fed([5, 4]), fed([])], attributes: { transA: 1, transB: 1 } },
    { inputs: [fed([3, 4]), fed([4, 5]), fed([3, 5])], attributes: { beta: 0 } },
  ],
  MatMul: [
    { inputs: [fed([3, 4]), fed([4, 5])] },
    { inputs: [fed([2, 3, 4]), fed([2, 4, 5])] },
    { inputs: [fed([2, 1, 3, 4]), fed([3, 4, 2])] },
    { inputs: [fed([4]), fed([4, 5])] },
    { inputs: [fed([3, 4]), fed([4])] },
    { inputs: [fed([4]), fed([4])] },
    { inputs: [fed([4]), fed([2, 4, 3])] },
    { inputs: [fed([2, 3, 4]), fed([4])] },
  ],
  Einsum: [
    { inputs: [fed([2, 3, 4]), fed([2, 4, 5])], attributes: { equation: 'bij,bjk->bik' } },
    { inputs: [fed([2, 3, 4]), fed([4, 5])], attributes: { equation: '...i, ij -> ...j' } },
    { inputs: [fed([2, 1, 3, 4]), fed([1, 5, 4, 3])], attributes: { equation: '...ij,...jk->...ik' } },
    { inputs: [fed([3, 2])], attributes: { equation: 'ba' } },
    { inputs: [fed([3, 4]), fed([4, 3])], attributes: { equation: 'ij,jk' } },
    { inputs: [fed([3, 3])], attributes: { equation: 'ii->i' } },
    { inputs: [fed([3, 3])], attributes: { equation: 'ii' } },
    { inputs: [fed([2, 3, 4])], attributes: { equation: '...j->...' } },
    { inputs: [fed([2, 3]), fed([3]), fed([4, 2])], attributes: { equation: 'ab,b,ca->c' } },
    { inputs: [fed([3]), fed([4])], attributes: { equation: 'i,j->ij' } },
    { inputs: [fed([2, 3, 2, 4]), fed([2, 5, 2, 4])], attributes: { equation: 'bqhd,bkhd->bhqk' } },
  ],
};
