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
};
