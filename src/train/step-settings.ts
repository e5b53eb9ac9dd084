import type { BatchNormMode } from '../passes/training-mode.js';
import type { Distillation } from './distillation.js';
import type { Optimizer } from './optimizers.js';

/** What is particular about the updates of some parameters. */
export interface ParameterGroup {
  /** What the learning rate is multiplied with. Default: 1. */
  readonly rate?: number;
  /** Default: the optimizer's own. */
  readonly weightDecay?: number;
}

/** Moving averages of the weights. */
export interface Averaging {
  /** How much of the average stays at a step, from 0 to below 1. */
  readonly decay: number;
  /** Whether the average begins as a short one: see `decayAt`. Default: no. */
  readonly warmUp?: boolean;
}

/** How a step computes its loss and changes the weights. */
export interface StepSettings {
  readonly optimizer: Optimizer;
  readonly seed: number;
  /** Default: all parameters alike. */
  readonly groups?: (parameter: { readonly name: string; readonly dims: readonly number[] }) => ParameterGroup;
  /** Bounds of the gradient: each number's magnitude first, then the norm over all parameters. Default: none. */
  readonly clip?: { readonly norm?: number; readonly value?: number };
  /**
   * Share of the target that all classes have in common (Szegedy et al. 2016, arXiv:1512.00567, section 7):
   * t(k) = (1 − s) [k = label] + s / K. Default: 0.
   */
  readonly labelSmoothing?: number;
  /** Validated and saved are moving averages of the weights, running statistics included. Default: the weights. */
  readonly averaging?: Averaging;
  /** Default: `train`, the statistics of the batch. */
  readonly batchNorm?: BatchNormMode;
  /** `false`: Dropout passes everything on. Default: true. */
  readonly dropout?: boolean;
  /** The teacher that is learnt from in addition to the labels. Default: none. */
  readonly distillation?: Distillation;
}

/**
 * The decay of a moving average at a step, counted from 1. With warm-up it is 1 − (1 + step − 1)^(−⅔) as long as that is
 * less (timm's `ModelEmaV3`): an average over the last few steps at first, so that the weights of the start are forgotten.
 */
export function computeDecay({ decay, warmUp = false }: Averaging, step: number): number {
  return warmUp ? Math.min(decay, 1 - step ** (-2 / 3)) : decay;
}
