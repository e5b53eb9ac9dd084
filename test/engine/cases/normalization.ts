import type { normalization as specs } from '../../../src/ops/normalization.js';
import type { Op } from '../../../src/ops/table.js';
import { tensor } from '../../../src/tensor/tensor.js';
import { type Cases, constant, fed, scalar } from './support.js';

export const normalization: Cases<keyof typeof specs & Op> = {
  BatchNormalization: [
    { inputs: [fed([2, 3, 4, 5]), fed([3]), fed([3]), fed([3]), fed([3], 0.1, 2)] },
    { inputs: [fed([4, 3]), fed([3]), fed([3]), fed([3]), fed([3], 0.1, 2)], attributes: { epsilon: 0.1 } },
    {
      inputs: [fed([4, 3, 5]), fed([3]), fed([3]), fed([3]), fed([3], 0.1, 2)],
      attributes: { training_mode: 1, momentum: 0.75 },
      outputs: 3,
    },
  ],
  InstanceNormalization: [
    { inputs: [fed([2, 3, 4, 5]), fed([3]), fed([3])] },
    { inputs: [fed([2, 3, 6], 0, 2), fed([3]), fed([3])], attributes: { epsilon: 0.1 } },
  ],
  LayerNormalization: [
    { inputs: [fed([2, 3, 8]), fed([8]), fed([8])], outputs: 3 },
    { inputs: [fed([4, 8], 5, 6), fed([8])], attributes: { epsilon: 0.1 } },
    { inputs: [fed([2, 3, 2, 4]), fed([3, 2, 4]), fed([3, 2, 4])], attributes: { axis: 1 }, outputs: 3 },
    { inputs: [fed([2, 3, 4]), fed([3, 4]), fed([3, 4])], attributes: { axis: -2 } },
  ],
  LRN: [
    { inputs: [fed([2, 6, 3, 2])], attributes: { size: 5 } },
    { inputs: [fed([2, 6, 3, 2])], attributes: { size: 3, alpha: 0.5, beta: 0.6, bias: 2 } },
  ],
  Dropout: [
    { inputs: [fed([3, 4])], outputs: 2 },
    { inputs: [fed([3, 4]), scalar(0.7)], outputs: 2 },
    { inputs: [fed([3, 4]), scalar(0), constant(tensor('bool', [], Uint8Array.of(1)))], outputs: 2 },
  ],
};

/** Their results are made of given elements or of integers: engines must agree to the bit. */
export const exact: readonly Op[] = ['Dropout'];
