import type { RefusedLayer } from '../compression/compressible-layers.js';
import type { Accuracy } from '../metrics/accuracy.js';
import type { StorageType } from '../passes/store-weights.js';
import type { MapFigures, SpeedFigures } from '../report/comparison.js';
import type { TrainingOutcome } from '../training-run/training-outcome.js';
import type { CompressionGoal } from './compression-plan.js';
import type { FoldReport } from './fold-report.js';
import type { GivenRanksBaseline } from './given-ranks-baseline.js';
import type { GoalTrial } from './reach-goal.js';
import type { LayerFigures, SizeChange } from './size-figures.js';

/** What a compression made, with or without images. Without any, a layer's `predicted` is half of its relative squared error. */
export interface CompressionShape {
  readonly goal: CompressionGoal;
  readonly store: StorageType;
  /** As ONNX files; `before` in float32. */
  readonly size: SizeChange;
  readonly layers: readonly LayerFigures[];
  /** Layers that no scheme takes, and why. */
  readonly refused: readonly RefusedLayer[];
  readonly folds: readonly FoldReport[];
  readonly seconds: number;
}

/** What `compress` did to reach a goal, and what survived. */
export interface CompressionReport extends CompressionShape {
  readonly data: {
    readonly train: string;
    /** The parts of the data set, such as `train` and `val`; `null` where it has none. */
    readonly trainPart: string | null;
    readonly validation: string;
    readonly validationPart: string | null;
    readonly validationImages: number;
    readonly heldOut: boolean;
    readonly calibrationImages: number;
  };
  /** On the validation images; absent where they have no labels. */
  readonly accuracy?: { readonly before: Accuracy; readonly after: Accuracy; readonly top1Drop: number };
  /** Validation images for which the model predicts as the original does, in percent. */
  readonly agreement: number;
  /** Relative error of the outputs and mean KL in nats, on the validation images. */
  readonly error: number;
  readonly divergence: number;
  readonly maps?: MapFigures;
  /** The dense original after the same training, where it was asked for. */
  readonly control?: { readonly accuracy?: Accuracy; readonly maps?: MapFigures };
  /** Hand-chosen ranks, where they were given. */
  readonly byHand?: GivenRanksBaseline;
  /** Top-1 on the training images in each epoch. */
  readonly trainTop1: readonly number[];
  /** Where it was fine-tuned: epoch 0, the epoch that was kept by the validation images, and what it gained. */
  readonly finetuning?: TrainingOutcome;
  /** Sizes that were tried, in order. */
  readonly trials: readonly GoalTrial[];
  readonly speed: readonly SpeedFigures[];
}
