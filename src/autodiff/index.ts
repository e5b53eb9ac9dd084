/**
 * Gradients of any ONNX graph, as graphs of standard ONNX operators or as numbers.
 *
 * @packageDocumentation
 */

export { difference, type Expression, max, mean, pick, sum } from './expression.js';
export { appendGradients, gradient } from './gradient.js';
export { checkGradient, type GradientCheckOptions, type GradientDeviation } from './gradient-check.js';
export { computeGradients, type Gradients, type GradientsOptions } from './gradients.js';
