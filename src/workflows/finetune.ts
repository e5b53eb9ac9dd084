import { DEFAULT_DISTILLATION } from '../recipes/default-distillation.js';
import { parseOption } from '../recipes/parse-option.js';
import { type FinetunePlanInput, finetuneSchema, toTrainPlan } from '../recipes/training-schema.js';
import { type TrainingSourceOptions, type TrainResult, trainSources } from '../training-run/train-sources.js';
import { defined } from '../values.js';

/** Lists the options of {@link finetune}. */
export interface FinetuneOptions extends TrainingSourceOptions {
  /** How to train: one stage. What is left out has the defaults of docs/training.md; `train` is the model's head. */
  readonly plan: FinetunePlanInput;
}

/**
 * Trains part of a model, everything else frozen: a training of one stage that begins with the model as it is.
 *
 * @throws UsageError for a mistake in the plan or a pattern that fits no parameter, ShiboriError when the training cannot
 *   continue.
 */
export async function finetune(options: FinetuneOptions): Promise<TrainResult> {
  const plan = parseOption('plan', finetuneSchema, options.plan);
  const distill = options.teacher === undefined ? undefined : DEFAULT_DISTILLATION;
  return trainSources(options, toTrainPlan({ ...plan, ...defined({ distill: plan.distill ?? distill }) }));
}
