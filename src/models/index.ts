/**
 * Architectures, what a file says of its model, preprocessing, summaries.
 *
 * @packageDocumentation
 */

export { withFreshHead } from './fresh-head.js';
export { buildInitialVgg, findVggShape, type VggShape, withCompactHead } from './initial-vgg.js';
export { reinitialize } from './initialize.js';
export { type ModelInfo, modelInfoSchema } from './metadata.js';
export {
  describePreprocess,
  type InputFacts,
  PREPROCESS_PARTS,
  type PreprocessOptions,
  type PreprocessPart,
  type PreprocessParts,
  type PreprocessSource,
  type ResolvedPreprocess,
  resolvePreprocess,
} from './preprocessing.js';
export type { StateDict } from './state-dict.js';
export { type LayerSummary, type Summary, summarizeGraph } from './summary.js';
export { type BuildOptions, buildVgg } from './vgg.js';
