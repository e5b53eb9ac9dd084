/**
 * Passes over graphs: rewriting, importing, folding, freeing the batch.
 *
 * @packageDocumentation
 */

export { dequantize } from './dequantize.js';
export type { FoldNote } from './fold.js';
export { foldConstants, type NodeEvaluator } from './fold-constants.js';
export { type FreeBatchResult, freeBatch } from './free-batch.js';
export { type FrozenSplit, splitFrozenPrefix } from './frozen-prefix.js';
export { type ImageInput, type ImageLayout, readImageInput, withImageInput } from './image-input.js';
export { importGraph } from './import-graph.js';
export { bindInputs, type Replacement, type RewriteOptions, type Rewriting, rewrite, startRewrite } from './rewrite.js';
export { type ScoresFirstResult, withScoresFirst } from './scores-graph.js';
export { type PassResult, toSinglePrecision } from './single-precision.js';
export type { StorageType } from './store-weights.js';
export type { BatchNormMode } from './training-mode.js';
export { upgradeOpset } from './upgrade-opset.js';
export { applyWinograd } from './winograd.js';
