import type { linear as specs } from '../../../src/ops/linear.js';
import type { Op } from '../../../src/ops/table.js';
import { type Cases, fed, frozen } from './support.js';

export const linear: Cases<keyof typeof specs & Op> = {
  Gemm: [
    { name: 'A B + C', inputs: [fed([2, 3]), fed([3, 4]), fed([4])] },
    {
      name: "alpha A' B + beta C",
      inputs: [fed([3, 2]), fed([3, 4]), fed([2, 1])],
      attributes: { transA: 1, alpha: 0.7, beta: -1.3 },
    },
    { name: "A B' + c", inputs: [fed([2, 3]), fed([4, 3]), fed([])], attributes: { transB: 1 } },
    { name: "alpha A' B'", inputs: [fed([3, 2]), fed([4, 3])], attributes: { transA: 1, transB: 1, alpha: 2 } },
    { name: 'frozen weights', inputs: [fed([2, 3]), frozen([4, 3]), frozen([4])], attributes: { transB: 1 } },
  ],
  MatMul: [
    { name: 'matrices', inputs: [fed([2, 3]), fed([3, 4])] },
    { name: 'a stack of matrices times a matrix', inputs: [fed([2, 3, 2]), fed([2, 4])] },
    { name: 'a matrix times a stack', inputs: [fed([3, 2]), fed([2, 2, 4])] },
    { name: 'stacks that broadcast', inputs: [fed([2, 1, 2, 3]), fed([4, 3, 2])] },
    { name: 'two vectors', inputs: [fed([3]), fed([3])] },
    { name: 'a vector times a matrix', inputs: [fed([3]), fed([3, 2])] },
    { name: 'a vector times a stack', inputs: [fed([3]), fed([2, 3, 2])] },
    { name: 'a matrix times a vector', inputs: [fed([2, 3]), fed([3])] },
    { name: 'a stack times a vector', inputs: [fed([2, 2, 3]), fed([3])] },
  ],
  Einsum: [
    { name: 'stacks of matrices', inputs: [fed([2, 3, 2]), fed([2, 2, 4])], attributes: { equation: 'bij,bjk->bik' } },
    {
      name: 'scores of attention',
      inputs: [fed([2, 3, 2, 2]), fed([2, 4, 2, 2])],
      attributes: { equation: 'bqhd,bkhd->bhqk' },
    },
    { name: 'an ellipsis', inputs: [fed([2, 2, 3]), fed([3, 2])], attributes: { equation: '...i,ij->...j' } },
    {
      name: 'ellipses that broadcast, not in front',
      inputs: [fed([3, 2, 1]), fed([1, 4, 3])],
      attributes: { equation: 'i...,...i->...' },
    },
    { name: 'three operands', inputs: [fed([2, 3]), fed([3]), fed([4, 2])], attributes: { equation: 'ab,b,ca->c' } },
    { name: 'a sum', inputs: [fed([2, 3])], attributes: { equation: 'ij->j' } },
    { name: 'an axis that is summed alone', inputs: [fed([2, 3]), fed([2])], attributes: { equation: 'ij,i->i' } },
    { name: 'a diagonal', inputs: [fed([3, 3]), fed([3])], attributes: { equation: 'ii,i->i' } },
    { name: 'a trace', inputs: [fed([3, 3])], attributes: { equation: 'ii' } },
    { name: 'an outer product', inputs: [fed([2]), fed([3])], attributes: { equation: 'i,j->ij' } },
    { name: 'the alphabetical output', inputs: [fed([2, 3])], attributes: { equation: 'ba' } },
    { name: 'frozen weights', inputs: [fed([2, 3]), frozen([3, 4])], attributes: { equation: 'ni,io->no' } },
  ],
};
