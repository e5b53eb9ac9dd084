import { sameTypeWith, unary } from './elementwise.js';
import { expectBroadcast } from './expect.js';
import { defineOp, float, int } from './spec.js';

/** The nonlinear functions of networks. */
export const activation = {
  Relu: unary,
  LeakyRelu: sameTypeWith({ alpha: float(0.01) }),
  PRelu: defineOp({
    attributes: {},
    inputs: [2, 2],
    infer(c) {
      expectBroadcast(c, 1, 'slope', c.type(0).dims, 'X');
      return [c.type(0)];
    },
  }),
  ThresholdedRelu: sameTypeWith({ alpha: float(1) }),
  Elu: sameTypeWith({ alpha: float(1) }),
  Selu: sameTypeWith({ alpha: float(1.6732632423543772), gamma: float(1.0507009873554805) }),
  Celu: sameTypeWith({ alpha: float(1) }),
  Sigmoid: unary,
  HardSigmoid: sameTypeWith({ alpha: float(0.2), beta: float(0.5) }),
  HardSwish: unary,
  Shrink: sameTypeWith({ bias: float(0), lambd: float(0.5) }),
  Mish: unary,
  Tanh: unary,
  Softplus: unary,
  Softsign: unary,
  Softmax: sameTypeWith({ axis: int(-1) }),
  LogSoftmax: sameTypeWith({ axis: int(-1) }),
  Hardmax: sameTypeWith({ axis: int(-1) }),
};
