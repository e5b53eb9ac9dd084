import type { Op } from '../../ops/table.js';
import type { Rules } from '../rule.js';
import { activation } from './activation.js';
import { convolution } from './convolution.js';
import { elementwise } from './elementwise.js';
import { indexing } from './indexing.js';
import { linear } from './linear.js';
import { normalization } from './normalization.js';
import { quantization } from './quantization.js';
import { reduction } from './reduction.js';
import { resample } from './resample.js';
import { shape } from './shape.js';

/** The rule of every operator: a missing one does not compile. */
export const rules: Rules<Op> = {
  ...elementwise,
  ...activation,
  ...quantization,
  ...linear,
  ...convolution,
  ...normalization,
  ...reduction,
  ...shape,
  ...indexing,
  ...resample,
};
