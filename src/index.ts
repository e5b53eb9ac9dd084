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
export type { WeightCompression } from './compression-run/compress-by-weights.js';
export type { GoalCompression } from './compression-run/compress-to-goal.js';
export type {
  DecomposedLayer,
  RankCompression,
  RankCompressionReport,
  SizeSummary,
} from './compression-run/compress-with-ranks.js';
export type { CompressedFile, CompressedModel } from './compression-run/compressed-file.js';
export type {
  CompressByWeightsOptions,
  CompressImageOptions,
  CompressModelOptions,
  CompressToGoalOptions,
  CompressWithRanksOptions,
  LayerRanks,
  SweepOptions,
} from './compression-run/compression-options.js';
export type {
  Amount,
  CompressionGoal,
  CompressionSettings,
  CostKind,
  Goal,
  LimitGoal,
  SweepLimits,
} from './compression-run/compression-plan.js';
export type { CompressionReport, CompressionShape } from './compression-run/compression-report.js';
export type { FoldReport } from './compression-run/fold-report.js';
export type { GivenRanksBaseline } from './compression-run/given-ranks-baseline.js';
export type { MeasuredLoss } from './compression-run/measured-loss.js';
export type { GoalTrial } from './compression-run/reach-goal.js';
export type { LayerFigures, SizeChange } from './compression-run/size-figures.js';
export type { LayerSpeed } from './compression-run/speed-change.js';
export type { SweepPoint } from './compression-run/sweep-point.js';
export type { SweepFigures, SweepResult } from './compression-run/sweep-sizes.js';
export type { Phase, PhasePlan } from './context/phase-clock.js';
export type { ProgressEvent, RunContext, RunOptions } from './context/run-context.js';
export { type NodeEngineOptions, nodeEngine } from './engine/node.js';
export { type ErrorCode, type ErrorSubject, ShiboriError, UsageError } from './errors.js';
export type { Evaluation } from './evaluation/evaluate-model.js';
export type { ScoredClass } from './evaluation/explain-images.js';
export type { ChosenImages, ImageChoice } from './images/chosen-images.js';
export { decodeImage } from './images/decode-image.js';
export {
  type DataOptions,
  type DataSource,
  type Dataset,
  type OpenedDataset,
  openDataset,
  type ValidationOptions,
} from './images/open-dataset.js';
export type { Digest } from './io/download.js';
export {
  type LoadedModel,
  type ModelFormat,
  type OpenedModel,
  type OpenOptions,
  openModel,
} from './io/models/model-file.js';
export type { ModelSource } from './io/models/model-source.js';
export type { DeclaredValue, OnnxOrigin } from './io/models/open-onnx.js';
export { type SavedModel, type SaveOptions, saveModel } from './io/models/save-model.js';
export type { StoredFile } from './io/models/stored-file.js';
export { type FetchOptions, fetchNamed, type NamedDownload } from './io/named-downloads.js';
export type { Matrix, SingleMatrix } from './linalg/matrix.js';
export type { MatrixProducts, ProductOptions } from './linalg/products.js';
export type { SymmetricRoot } from './linalg/symmetric-root.js';
export type { ImageExplanation } from './pictures/explain-chosen.js';
export { type Recipe, type RecipeInput, recipeSchema } from './recipes/recipe.js';
export type { RecipeDataOptions } from './recipes/recipe-data.js';
export {
  type FinetunePlan,
  type FinetunePlanInput,
  finetuneSchema,
  type TrainPlan,
  type TrainPlanInput,
  trainSchema,
} from './recipes/training-schema.js';
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
export type { TrainingFigures } from './training-run/run-training.js';
export type { TrainingSourceOptions } from './training-run/train-sources.js';
export type { KeptEpoch, TrainedEpoch, TrainingOutcome } from './training-run/training-outcome.js';
export { type CompareOptions, type CompareResult, compare } from './workflows/compare.js';
export { type CompressOptions, type CompressResult, compress } from './workflows/compress.js';
export { type DemoOptions, demo } from './workflows/demo.js';
export { type EvaluateOptions, type EvaluateResult, evaluate } from './workflows/evaluate.js';
export { type ExplainOptions, type ExplainResult, explain } from './workflows/explain.js';
export { type ExportOptions, type ExportResult, exportModel } from './workflows/export-model.js';
export { type FinetuneOptions, finetune } from './workflows/finetune.js';
export { type GradientsWorkflowOptions, gradients } from './workflows/gradients.js';
export { type ListedLayer, type ListLayersOptions, listLayers } from './workflows/list-layers.js';
export { type RecipeResult, type RunRecipeOptions, runRecipe } from './workflows/run-recipe.js';
export { type ModelSummary, type SummarizeOptions, summarize } from './workflows/summarize.js';
export { sweep } from './workflows/sweep.js';
export { type TrainOptions, type TrainResult, train } from './workflows/train.js';
