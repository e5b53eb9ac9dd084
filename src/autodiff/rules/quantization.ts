/** Rules of quantisation: rounding is flat, and what is made of integers passes no gradient on. */
import type { quantization as specs } from '../../ops/quantization.js';
import { notDifferentiable, type Rules, unsupported } from '../rule.js';

export const quantization: Rules<keyof typeof specs> = {
  QuantizeLinear: notDifferentiable,
  DequantizeLinear: unsupported('the scale of quantised weights is not trained.'),
};
