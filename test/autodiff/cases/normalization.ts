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
  Dropout: [
    { name: 'inference', inputs: [fed([2, 3])] },
    { name: 'inference, said so', inputs: [fed([2, 3]), scalar(0.5), constant(tensor('bool', [], Uint8Array.of(0)))] },
  ],
};
