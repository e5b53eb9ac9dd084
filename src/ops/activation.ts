import { defineSameTypeOp, unary } from './elementwise.js';
import { expectBroadcast } from './expect.js';
import { defineOp, float, int } from './spec.js';

/** The nonlinear functions of networks. */
export const activation = {
  Relu: unary,
  LeakyRelu: defineSameTypeOp({ alpha: float(0.01) }),
  PRelu: defineOp({
    attributes: {},
    inputs: [2, 2],
    infer(c) {
      expectBroadcast(c, 1, 'slope', c.type(0).dims, 'X');
      return [c.type(0)];
    },
  }),
  ThresholdedRelu: defineSameTypeOp({ alpha: float(1) }),
  Elu: defineSameTypeOp({ alpha: float(1) }),
  Selu: defineSameTypeOp({ alpha: float(1.6732632423543772), gamma: float(1.0507009873554805) }),
  Celu: defineSameTypeOp({ alpha: float(1) }),
  Sigmoid: unary,
  HardSigmoid: defineSameTypeOp({ alpha: float(0.2), beta: float(0.5) }),
  HardSwish: unary,
  Shrink: defineSameTypeOp({ bias: float(0), lambd: float(0.5) }),
  Mish: unary,
  Tanh: unary,
  Softplus: unary,
  Softsign: unary,
  Softmax: defineSameTypeOp({ axis: int(-1) }),
  LogSoftmax: defineSameTypeOp({ axis: int(-1) }),
  Hardmax: defineSameTypeOp({ axis: int(-1) }),
};
