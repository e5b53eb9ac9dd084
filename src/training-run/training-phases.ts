import type { Phase, PhasePlan } from '../context/phase-clock.js';
import type { FinetunePlan } from '../recipes/training-schema.js';
import { defined } from '../values.js';
import { BEFORE_TRAINING_PHASE } from './training-log.js';

/** Work of training on one image, in forward passes. */
const WORK_PER_IMAGE = 3;

/** Counts the images that each part of a task reads. */
export interface ImageCounts {
  readonly train: number;
  readonly validation?: number;
}

/** Describes a stage of a training by what decides its phases. */
export interface TrainingStage {
  readonly epochs: number;
  readonly augment?: FinetunePlan['augment'];
  readonly views?: number;
  /** Comes before the names of the phases: `stage 1/2, `. */
  readonly prefix?: string;
  /** Whether the model is measured before the first step. */
  readonly measuresBefore: boolean;
}

/**
 * Lists the phases of one stage of a training, for an estimate of the time left. Weights are forward passes of one image.
 * Features that are kept from an earlier run take no time.
 */
export function planTrainingPhases(stage: TrainingStage, { train, validation }: ImageCounts): Phase[] {
  const { epochs, augment, views = 2, prefix = '', measuresBefore } = stage;
  const phase = (name: string, weight: number): Phase => ({ name: `${prefix}${name}`, weight });
  const cached = augment ? Math.min(views, epochs) : 1;
  const phases: Phase[] = [];
  if (validation !== undefined && measuresBefore) phases.push(phase(BEFORE_TRAINING_PHASE, validation));
  for (let epoch = 0; epoch < epochs; epoch++) {
    if (epoch < cached) phases.push(phase(cached > 1 ? `frozen prefix, view ${epoch + 1}` : 'frozen prefix', train));
    phases.push(phase(`epoch ${epoch + 1}/${epochs}`, WORK_PER_IMAGE * train));
    if (validation !== undefined) phases.push(phase('validate', validation));
  }
  return phases;
}

/** Lists the phases of a whole training. `patience` may end it early. */
export function planTraining(stages: readonly FinetunePlan[], counts: ImageCounts, isFresh: boolean): PhasePlan {
  const phases = stages.flatMap(({ epochs, augment, views }, i) =>
    planTrainingPhases(
      {
        epochs,
        ...defined({ augment, views }),
        prefix: stages.length > 1 ? `stage ${i + 1}/${stages.length}, ` : '',
        measuresBefore: i === 0 && !isFresh,
      },
      counts,
    ),
  );
  return { phases, atMost: stages.some(({ patience }) => patience !== undefined) };
}
