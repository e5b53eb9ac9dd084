/**
 * Shibori in a browser: opens ONNX files from bytes, computes gradients and Grad-CAM maps with ONNX Runtime Web.
 *
 * @packageDocumentation
 */

export { difference, type Expression, max, mean, pick, sum } from './autodiff/expression.js';
export { computeGradients, type Gradients, type GradientsOptions } from './autodiff/gradients.js';
export type { RgbImage } from './data/image.js';
export { type Preprocess, toTensor } from './data/preprocess.js';
export type { Engine, NamedTensors, Session } from './engine/engine.js';
export type { OnnxRuntime } from './engine/onnx-runtime.js';
export { type WebEngineOptions, webEngine } from './engine/web.js';
export { type ErrorCode, type ErrorSubject, ShiboriError, UsageError } from './errors.js';
export { type Explainer, type Explanation, type GradCamOptions, gradCam } from './explain/grad-cam.js';
export { overlayMap } from './explain/overlay.js';
export { type ModelGraph, openGraph } from './models/open-graph.js';
export { float32, type Tensor } from './tensor/tensor.js';
