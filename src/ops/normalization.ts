import { normalizeAxis } from '../tensor/dims.js';
import { expectBroadcast, expectVector } from './expect.js';
import { defineOp, float, int, makeValueType, optionalInt, requiredInt } from './spec.js';

/** One multiplication and addition an element. */
const countInputElements = (_: unknown, [x]: readonly (readonly number[])[]): number =>
  (x ?? []).reduce((size, dim) => size * dim, 1);

/** Normalisation and regularisation. */
export const normalization = {
  BatchNormalization: defineOp({
    attributes: { epsilon: float(1e-5), momentum: float(0.9), training_mode: int(0) },
    inputs: [5, 5],
    infer(c) {
      const mean = c.type(3);
      const [, channels] = c.type(0).dims;
      for (const [i, what] of ['scale', 'bias', 'mean', 'variance'].entries()) {
        expectVector(c, i + 1, what, channels, 'channels');
      }
      return [c.type(0), mean, c.type(4)];
    },
    countOperatorMacs: countInputElements,
  }),
  InstanceNormalization: defineOp({
    attributes: { epsilon: float(1e-5) },
    inputs: [3, 3],
    infer(c) {
      const x = c.type(0);
      if (x.dims.length < 3) throw c.fail('it normalises over what follows [N, C], and nothing does.');
      expectVector(c, 1, 'scale', x.dims[1], 'channels');
      expectVector(c, 2, 'bias', x.dims[1], 'channels');
      return [x];
    },
    countOperatorMacs: countInputElements,
  }),
  LayerNormalization: defineOp({
    attributes: { axis: int(-1), epsilon: float(1e-5), stash_type: int(1) },
    inputs: [2, 3],
    infer(c) {
      const x = c.type(0);
      const axis = normalizeAxis(c.attributes.axis, x.dims.length);
      expectBroadcast(c, 1, 'scale', x.dims.slice(axis), 'the normalised axes');
      expectBroadcast(c, 2, 'bias', x.dims.slice(axis), 'the normalised axes');
      // Mean and 1 / deviation are of single precision whatever X is (stash_type 1, the only one in use).
      const statistics = makeValueType(
        'float32',
        x.dims.map((dim, at) => (at < axis ? dim : 1)),
      );
      return [x, statistics, statistics];
    },
    countOperatorMacs: countInputElements,
  }),
  LRN: defineOp({
    attributes: { alpha: float(1e-4), beta: float(0.75), bias: float(1), size: requiredInt },
    inputs: [1, 1],
    infer: (c) => [c.type(0)],
    countOperatorMacs: ({ size }, [x]) => size * countInputElements(undefined, [x ?? []]),
  }),
  Dropout: defineOp({
    attributes: { seed: optionalInt },
    inputs: [1, 3],
    infer: (c) => [c.type(0), makeValueType('bool', c.type(0).dims)],
  }),
};
