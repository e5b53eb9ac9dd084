/**
 * Shibori's isomorphic core: graphs, gradients, explanations, tensor trains, training. Nothing here touches files or the
 * network; `shibori/node` does.
 *
 * @packageDocumentation
 */

export { appendGradients, gradient } from './autodiff/gradient.js';
export {
  type Budget,
  type CompressedGraph,
  type CompressToBudgetOptions,
  compressToBudget,
} from './compression/compress-to-budget.js';
export { type AugmentOptions, augment } from './data/augment.js';
export type { RgbImage } from './data/image.js';
export { type Color, fitImage, IMAGENET_MEAN, IMAGENET_STD, type Preprocess, toTensor } from './data/preprocess.js';
export type { Filter } from './data/resize.js';
export { planContraction } from './decompose/contraction.js';
export { decomposeLinear, type LinearTrain, replaceLinears, withExecution } from './decompose/decompose-linear.js';
export { ttSvd } from './decompose/tensor-train.js';
export type { TtLayer } from './decompose/tt-layer.js';
export { type Engine, type NamedTensors, runOnce, type Session } from './engine/engine.js';
export { engineProducts } from './engine/matrix-products.js';
export { referenceEngine } from './engine/reference.js';
export { ShiboriError, UsageError } from './errors.js';
export { type Explainer, type Explanation, gradCam } from './explain/grad-cam.js';
export { findSpatialLayers, type SpatialLayer } from './explain/layers.js';
export { overlayMap } from './explain/overlay.js';
export type { Grid } from './explain/spatial.js';
export { readNpy, writeNpy } from './formats/npy.js';
export { readOnnx } from './formats/onnx/read.js';
export { writeOnnx } from './formats/onnx/write.js';
export { readSafetensors } from './formats/safetensors/read.js';
export { writeSafetensors } from './formats/safetensors/write.js';
export { readTorch } from './formats/torch/read.js';
export { writeTorch } from './formats/torch/write.js';
export type { Attribute, Dim, Graph, Model, Node, ValueType } from './graph/model.js';
export { Value } from './graph/model.js';
export { findLayer, listLayers, matchesPattern } from './graph/module-path.js';
export { listParameters, type Parameter } from './graph/parameters.js';
export { evaluateNode } from './kernels/evaluate-node.js';
export { computeAccuracy, countAccuracy } from './metrics/accuracy.js';
export { type Agreement, measureAgreement } from './metrics/agreement.js';
export { pearson } from './metrics/pearson.js';
export { pointingGame } from './metrics/pointing-game.js';
export { withFreshHead } from './models/fresh-head.js';
export { buildInitialVgg, findVggShape, withCompactHead } from './models/initial-vgg.js';
export { reinitialize } from './models/initialize.js';
export {
  describePreprocess,
  type InputFacts,
  type PreprocessOptions,
  type PreprocessPart,
  type PreprocessParts,
  type PreprocessSource,
  type ResolvedPreprocess,
  resolvePreprocess,
} from './models/preprocessing.js';
export { type Summary, summarize } from './models/summary.js';
export { buildVgg } from './models/vgg.js';
export { GraphBuilder } from './ops/builder.js';
export type { ScoreChoice } from './ops/scores/append.js';
export { type ChosenOutput, chooseOutput } from './ops/scores/choose-output.js';
export {
  describeScores,
  findScores,
  type LabelKind,
  type OutputKind,
  type ScoreKinds,
  type Scores,
  type Task,
} from './ops/scores/scores.js';
export { ops } from './ops/table.js';
export { dequantize } from './passes/dequantize.js';
export { foldConstants } from './passes/fold-constants.js';
export { freeBatch } from './passes/free-batch.js';
export { splitFrozenPrefix } from './passes/frozen-prefix.js';
export { type ImageInput, type ImageLayout, readImageInput, withImageInput } from './passes/image-input.js';
export { importGraph } from './passes/import-graph.js';
export { type Note, type Pass, type PassContext, type PassResult, runPasses } from './passes/pass.js';
export { bindInputs, rewrite, startRewrite } from './passes/rewrite.js';
export { withScoresFirst } from './passes/scores-graph.js';
export { toSinglePrecision } from './passes/single-precision.js';
export { upgradeOpset } from './passes/upgrade-opset.js';
export { applyWinograd } from './passes/winograd.js';
export type { Comparison } from './report/comparison.js';
export type { DType } from './tensor/dtype.js';
export { MersenneTwister, randomSplit, seeded } from './tensor/random.js';
export { float32, int64, type Tensor, tensor, zeros } from './tensor/tensor.js';
export { type FitOptions, type FitProgress, type FitResult, fit } from './train/fit.js';
export { adam, adamW, type Optimizer, optimizers, sgd } from './train/optimizers.js';
export {
  constant,
  cosine,
  cyclic,
  multiStep,
  oneCycle,
  type Schedule,
  schedules,
  stepDecay,
  warmUp,
} from './train/schedules.js';
