import { defineOp, float, int, optionalInt, typed } from './spec.js';

/** Normalisation and regularisation. */
export const normalization = {
  BatchNormalization: defineOp({
    attributes: { epsilon: float(1e-5), momentum: float(0.9), training_mode: int(0) },
    inputs: [5, 5],
    infer(c) {
      const mean = c.type(3);
      return [c.type(0), mean, c.type(4)];
    },
    multiplyAdds: (_, [x]) => (x ?? []).reduce((size, dim) => size * dim, 1),
  }),
  Dropout: defineOp({
    attributes: { seed: optionalInt },
    inputs: [1, 3],
    infer: (c) => [c.type(0), typed('bool', c.type(0).dims)],
  }),
};
