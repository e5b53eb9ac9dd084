/**
 * Shibori compresses a trained image classifier with tensor networks and shows what it still looks at.
 *
 * Each workflow takes one object of options and returns a typed result. Lower levels are modules of their own
 * (`shibori/graph`, `shibori/autodiff`, `shibori/explain`, …), which also run in a browser.
 *
 * @packageDocumentation
 */

export { difference, type Expression, max, mean, pick, sum } from './autodiff/expression.js';
export type { Gradients } from './autodiff/gradients.js';
export type { SizeChange } from './compression-run/size-figures.js';
export type { Phase, PhasePlan } from './context/phase-clock.js';
export type { ProgressEvent, RunContext } from './context/run-context.js';
export { type NodeEngineOptions, nodeEngine } from './engine/node.js';
export { type ErrorCode, type ErrorSubject, ShiboriError, UsageError } from './errors.js';
export type { ScoredClass } from './evaluation/explain-images.js';
export { decodeImage } from './images/decode-image.js';
export { type DataOptions, type Dataset, type OpenedDataset, openDataset } from './images/open-dataset.js';
export type { Digest } from './io/download.js';
export {
  type LoadedModel,
  type ModelFormat,
  type OpenedModel,
  type OpenOptions,
  openModel,
} from './io/models/model-file.js';
export type { DeclaredValue, OnnxOrigin } from './io/models/open-onnx.js';
export { type SavedModel, type SaveOptions, saveModel } from './io/models/save-model.js';
export type { StoredFile } from './io/models/stored-file.js';
export { type FetchOptions, fetchNamed, type NamedDownload } from './io/named-downloads.js';
export type { Matrix, SingleMatrix } from './linalg/matrix.js';
export type { MatrixProducts, ProductOptions } from './linalg/products.js';
export type { SymmetricRoot } from './linalg/symmetric-root.js';
export type {
  Comparison,
  Flip,
  MapFigures,
  PredictionFigures,
  SizeFigures,
  SpeedFigures,
} from './report/comparison.js';
export type { ReportExtras } from './report/comparison-page.js';
export type { LayerRow } from './report/comparison-tables.js';
export type { DataOrigin, FileOrigin, ModelOrigin, Provenance } from './report/provenance-html.js';
export type { HistoryPoint } from './report/training-charts.js';
export { float32, type Tensor } from './tensor/tensor.js';
export type { KeptEpoch, TrainedEpoch } from './training-run/training-outcome.js';
export { type CompareOptions, compare } from './workflows/compare.js';
export {
  compressWithRanks,
  type DecomposedLayer,
  type RankCompressionFileReport,
  type RankCompressionReport,
  type SizeSummary,
} from './workflows/compress-with-ranks.js';
export { demo } from './workflows/demo.js';
export { type Evaluation, evaluate } from './workflows/evaluate.js';
export { type ExplainedFiles, type ExplainOptions, type ExplainResult, explain } from './workflows/explain.js';
export { exportModel } from './workflows/export-model.js';
export { finetune } from './workflows/finetune.js';
export { type GradientsWorkflowOptions, gradients } from './workflows/gradients.js';
export { type ListedLayer, listMapLayers } from './workflows/list-layers.js';
export { type RecipeOverrides, run } from './workflows/run.js';
export { type RecipeResult, runRecipe } from './workflows/run-recipe.js';
export { type FileSummary, summary } from './workflows/summarize.js';
export { type TrainedFile, type Training, type TrainOptions, train } from './workflows/train.js';
