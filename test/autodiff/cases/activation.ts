import type { activation as specs } from '../../../src/ops/activation.js';
import type { Op } from '../../../src/ops/table.js';
import { type Cases, fed, numbers, softmax, unary } from './support.js';

/** Both sides of the kinks of HardSigmoid and HardSwish. */
const wide = [{ name: 'flat and sloped parts', inputs: [fed([4, 5], -6, 6)] }];

export const activation: Cases<keyof typeof specs & Op> = {
  Relu: unary,
  LeakyRelu: [
    { name: 'default slope', inputs: [fed([2, 5])] },
    { name: 'negative slope', inputs: [fed([2, 5])], attributes: { alpha: -0.3 } },
  ],
  PRelu: [
    { name: 'a slope for each element', inputs: [fed([2, 3]), fed([2, 3])] },
    { name: 'a slope for each channel', inputs: [fed([2, 3, 4]), fed([3, 1])] },
    { name: 'one slope', inputs: [fed([2, 3]), fed([1])] },
  ],
  ThresholdedRelu: [{ name: 'a threshold', inputs: [fed([3, 4])], attributes: { alpha: 0.4 } }],
  Elu: [
    { name: 'default', inputs: [fed([2, 5])] },
    { name: 'negative alpha', inputs: [fed([2, 5])], attributes: { alpha: -0.3 } },
  ],
  Selu: [
    { name: 'default', inputs: [fed([2, 5])] },
    { name: 'other constants', inputs: [fed([2, 5])], attributes: { alpha: 0.3, gamma: 2 } },
  ],
  Celu: [{ name: 'alpha', inputs: [fed([2, 5])], attributes: { alpha: 0.3 } }],
  Sigmoid: unary,
  HardSigmoid: [...wide, { name: 'steep', inputs: [fed([3, 5])], attributes: { alpha: 0.7, beta: 0.1 } }],
  HardSwish: wide,
  Mish: wide,
  Shrink: [{ name: 'all three parts', inputs: [numbers(-2, -0.6, -0.3, 0.2, 0.7, 3)], attributes: { bias: 0.2 } }],
  Tanh: unary,
  Softplus: wide,
  Softsign: wide,
  Softmax: softmax,
  LogSoftmax: softmax,
};
