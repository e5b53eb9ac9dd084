import type { Op } from '../../src/ops/table.js';
import { activation } from './cases/activation.js';
import { convolution } from './cases/convolution.js';
import { elementwise } from './cases/elementwise.js';
import { indexing } from './cases/indexing.js';
import { linear } from './cases/linear.js';
import { normalization } from './cases/normalization.js';
import { reduction } from './cases/reduction.js';
import { resample } from './cases/resample.js';
import { shape } from './cases/shape.js';
import type { Cases } from './cases/support.js';

/**
 * Cases for every operator that has a gradient rule; the suite fails for a rule without one. Values are random, so
 * away from kinks and ties: these are held to PyTorch instead.
 */
export const cases: Cases<Op> = {
  ...elementwise,
  ...activation,
  ...linear,
  ...convolution,
  ...normalization,
  ...reduction,
  ...shape,
  ...indexing,
  ...resample,
};
