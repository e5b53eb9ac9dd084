/**
 * Compresses a graph to a budget of parameters or MACs: sensitivity of layers, allocation of ranks, refit.
 *
 * @packageDocumentation
 */

export {
  type Budget,
  type CompressedGraph,
  type CompressionProgress,
  type CompressToBudgetOptions,
  compressToBudget,
} from './compress-to-budget.js';
export type { CompressibleLayer, RefusedLayer } from './compressible-layers.js';
export type { LayerOutcome, TruncatedSpectrum } from './layer-outcome.js';
export type { RefitOptions } from './refit-layer.js';
export type { ChainFitOptions } from './schemes/chain-fit.js';
export type {
  DecompositionScheme,
  FittedLayer,
  LayerParameter,
  LayerShape,
  RankPrediction,
  SchemeInput,
} from './schemes/decomposition-scheme.js';
export type { MapRegression } from './schemes/layer-metric.js';
export type { TruncationErrors, UnfoldingEnergies } from './schemes/truncation-errors.js';
export type { LayerSensitivity, SensitivityCache } from './sensitivity-analysis.js';
export type { BudgetUnit, LayerOption, MeasuredPoint } from './sensitivity-curves.js';
export type { Marginals, SecondMoments } from './statistics/second-moment-matrix.js';
