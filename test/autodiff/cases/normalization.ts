import type { normalization as specs } from '../../../src/ops/normalization.js';
import type { Op } from '../../../src/ops/table.js';
import { tensor } from '../../../src/tensor/tensor.js';
import { batchNorm, type Cases, constant, fed, scalar, trainedBatchNorm } from './support.js';

export const normalization: Cases<keyof typeof specs & Op> = {
  BatchNormalization: [
    { name: 'inference, with the running statistics', inputs: batchNorm([2, 3, 2, 2]), attributes: { epsilon: 1e-3 } },
    { name: 'inference, [N, C]', inputs: batchNorm([4, 3]) },
    { name: 'training', inputs: trainedBatchNorm([3, 2, 2, 3]), attributes: { training_mode: 1 }, outputs: 3 },
    { name: 'training, [N, C]', inputs: trainedBatchNorm([5, 3]), attributes: { training_mode: 1 }, outputs: 3 },
  ],
  InstanceNormalization: [
    { name: '2-D', inputs: [fed([2, 3, 2, 3]), fed([3]), fed([3])] },
    { name: '1-D, far from 0', inputs: [fed([2, 2, 5], 4, 6), fed([2]), fed([2])], attributes: { epsilon: 1e-3 } },
  ],
  LayerNormalization: [
    { name: 'last axis', inputs: [fed([2, 3, 5]), fed([5]), fed([5])] },
    { name: 'no bias', inputs: [fed([2, 5]), fed([5])], attributes: { epsilon: 1e-3 } },
    { name: 'two axes', inputs: [fed([2, 3, 2, 2]), fed([2, 2]), fed([2, 2])], attributes: { axis: 2 } },
    { name: 'a scale that broadcasts', inputs: [fed([2, 3, 4]), fed([4]), fed([3, 1])], attributes: { axis: -2 } },
    { name: 'with statistics', inputs: [fed([2, 3, 5]), fed([5]), fed([5])], outputs: 3 },
  ],
  LRN: [
    { name: 'odd window', inputs: [fed([2, 5, 2, 2])], attributes: { size: 3, alpha: 0.5 } },
    {
      name: 'even window',
      inputs: [fed([1, 5, 3])],
      attributes: { size: 4, alpha: 0.7, beta: 0.5, bias: 2 },
      notOnRuntime: 'it wants an odd window',
    },
  ],
  Dropout: [
    { name: 'inference', inputs: [fed([2, 3])] },
    { name: 'inference, said so', inputs: [fed([2, 3]), scalar(0.5), constant(tensor('bool', [], Uint8Array.of(0)))] },
  ],
};
