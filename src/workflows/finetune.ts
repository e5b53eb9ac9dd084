import type { RunContext } from '../context/run-context.js';
import type { LoadedModel } from '../io/models/model-file.js';
import type { FinetunePlan, TrainPlan } from '../recipes/training-schema.js';
import type { TrainingSets } from '../training-run/train-stage.js';
import {
  type TrainedFile,
  type Training,
  type TrainModelOptions,
  type TrainOptions,
  trainFile,
  trainModel,
} from './train.js';

/** What a fine-tuning did. */
export type Finetuning = Training;

/** A fine-tuning is a training of one stage that begins with the model as it is. */
const buildTrainPlan = (stage: FinetunePlan): TrainPlan => ({ head: undefined, init: 'pretrained', stages: [stage] });

/**
 * Trains part of a loaded model, everything else frozen.
 *
 * `train` are patterns of the trained parameters, `head` being the last layer (default: the architecture's head).
 * `learningRate` is one number, or base and peak of a cyclic schedule (default: `triangular2`) whose rising half lasts
 * `stepSizeUp` steps (default: half of the training). `views` are random views of each image when augmenting; epoch e
 * uses view e mod views (default: 2). docs/training.md has all of them.
 *
 * @param plan how it is trained, as `finetuneSchema` parses it.
 * @throws UsageError for a pattern that fits no parameter, ShiboriError when the training cannot go on.
 */
export async function finetuneModel(
  model: LoadedModel,
  data: TrainingSets,
  plan: FinetunePlan,
  options: TrainModelOptions = {},
  context: RunContext = {},
): Promise<{ readonly model: LoadedModel; readonly report: Finetuning }> {
  return trainModel(model, data, buildTrainPlan(plan), options, context);
}

/**
 * Fine-tunes a model file and writes the result.
 *
 * @param options.output the file to write. Default: `MODEL-finetuned` with the model's own extension.
 * @param options.work folder for checkpoints and metrics. Default: `shibori-out/finetune/MODEL`.
 * @param options.validation data that is evaluated after each epoch.
 */
export async function finetune(
  file: string,
  plan: FinetunePlan,
  options: TrainOptions,
  context: RunContext = {},
): Promise<TrainedFile> {
  return trainFile(file, buildTrainPlan(plan), options, { command: 'finetune', outputSuffix: 'finetuned' }, context);
}
