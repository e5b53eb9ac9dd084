import { parseOption } from '../recipes/parse-option.js';
import { type TrainPlanInput, trainSchema } from '../recipes/training-schema.js';
import { type TrainingSourceOptions, type TrainResult, trainSources } from '../training-run/train-sources.js';

export type { TrainResult } from '../training-run/train-sources.js';
export type { TrainedEpoch } from '../training-run/training-outcome.js';

/** Lists the options of `train`. */
export interface TrainOptions extends TrainingSourceOptions {
  /** How to train: a fresh head, fresh parameters, and the stages. What is left out has the defaults of docs/training.md. */
  readonly plan: TrainPlanInput;
}

/**
 * Trains a model, stage after stage: from scratch, with a fresh head, or further.
 *
 * @throws UsageError for a mistake in the plan or a pattern that fits no parameter, ShiboriError when the training cannot
 *   continue.
 */
export async function train(options: TrainOptions): Promise<TrainResult> {
  return trainSources(options, parseOption('plan', trainSchema, options.plan));
}
