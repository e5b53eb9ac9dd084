import type { activation as specs } from '../../../src/ops/activation.js';
import type { Op } from '../../../src/ops/table.js';
import { type Cases, fed, integers, of, softmax, unary } from './support.js';

export const activation: Cases<keyof typeof specs & Op> = {
  Relu: unary(),
  LeakyRelu: [{ inputs: [fed([4, 5])] }, { inputs: [fed([4, 5])], attributes: { alpha: 0.3 } }],
  PRelu: [
    { inputs: [fed([2, 3, 4]), fed([2, 3, 4])] },
    { inputs: [fed([2, 3, 4]), fed([3, 1])] },
    { inputs: [fed([2, 3]), fed([1])] },
  ],
  ThresholdedRelu: [{ inputs: [fed([4, 5])] }, { inputs: [of([0.5, 0.25, 1, -1])], attributes: { alpha: 0.5 } }],
  Elu: [{ inputs: [fed([4, 5], -5, 5)] }, { inputs: [fed([4, 5])], attributes: { alpha: 0.3 } }],
  Selu: [{ inputs: [fed([4, 5], -5, 5)] }, { inputs: [fed([4, 5])], attributes: { alpha: 0.3, gamma: 2 } }],
  Celu: [{ inputs: [fed([4, 5], -5, 5)] }, { inputs: [fed([4, 5])], attributes: { alpha: 0.3 } }],
  Sigmoid: unary(fed([40], -20, 20)),
  HardSigmoid: [{ inputs: [fed([4, 5], -5, 5)] }, { inputs: [fed([4, 5])], attributes: { alpha: 0.7, beta: 0.1 } }],
  HardSwish: [{ inputs: [fed([4, 5], -5, 5)] }, { inputs: [of([-3, 3, 0, -4, 4])] }],
  Mish: [{ inputs: [fed([4, 5], -20, 20)] }],
  Tanh: unary(fed([40], -10, 10)),
  Softplus: [{ inputs: [fed([4, 5], -20, 20)] }, { inputs: [of([-200, 200, 0])] }],
  Softsign: [{ inputs: [fed([4, 5], -20, 20)] }],
  Softmax: softmax(),
  LogSoftmax: softmax(),
  Shrink: [
    { inputs: [of([-2, -0.5, -0.4, 0, 0.5, 0.6, Number.NaN])] },
    { inputs: [of([-2, -1.5, 0, 1.5, 1.6, 3])], attributes: { lambd: 1.5, bias: 0.25 } },
  ],
  Hardmax: [{ inputs: [fed([3, 5])] }, { inputs: [integers([2, 4, 3], 0, 3, 'float32')], attributes: { axis: 1 } }],
};

/** Their results are made of given elements or of integers: engines must agree to the bit. */
export const exact: readonly Op[] = ['Relu', 'LeakyRelu', 'PRelu', 'ThresholdedRelu', 'Hardmax'];
