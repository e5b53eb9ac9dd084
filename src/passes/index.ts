/**
 * Passes over graphs: rewriting, importing, folding, freeing the batch.
 *
 * @packageDocumentation
 */

export { dequantize } from './dequantize.js';
export { foldBatchNorms } from './fold-batch-norm.js';
export { foldConstants } from './fold-constants.js';
export { freeBatch } from './free-batch.js';
export { type FrozenSplit, splitFrozenPrefix } from './frozen-prefix.js';
export { type ImageInput, type ImageLayout, readImageInput, withImageInput } from './image-input.js';
export { importGraph } from './import-graph.js';
export { type Note, type Pass, type PassContext, type PassResult, runPasses } from './pass.js';
export { bindInputs, type Replacement, type RewriteOptions, type Rewriting, rewrite, startRewrite } from './rewrite.js';
export { withScoresFirst } from './scores-graph.js';
export { toSinglePrecision } from './single-precision.js';
export type { StorageType } from './store-weights.js';
export type { BatchNormMode } from './training-mode.js';
export { upgradeOpset } from './upgrade-opset.js';
export { applyWinograd } from './winograd.js';
