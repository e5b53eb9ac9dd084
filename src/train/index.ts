/**
 * Training: fit, optimizers, schedules.
 *
 * @packageDocumentation
 */

export type { MeasuredEpoch, ValidationResult } from './best-weights.js';
export type { AppendMaps, Distillation } from './distillation.js';
export type { FeatureStore } from './features-in-memory.js';
export { type FitOptions, type FitProgress, type FitResult, fit } from './fit.js';
export type { Choice, NamedOptions } from './named-options.js';
export { adam, adamW, type Optimizer, type OptimizerState, optimizers, sgd, type UpdateStep } from './optimizers.js';
export {
  constant,
  cosine,
  cyclic,
  type LearningRate,
  multiStep,
  oneCycle,
  type Schedule,
  schedules,
  stepDecay,
  warmUp,
} from './schedules.js';
export type { Averaging, ParameterGroup } from './step-settings.js';
export type { TrainingData } from './training-data.js';
export type { CheckpointStore, TrainingState } from './training-state.js';
