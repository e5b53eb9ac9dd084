import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { getEngine, type RunContext, type RunOptions, reportNotes } from '../context/run-context.js';
import { type DataOptions, type DataSource, type Dataset, withTrainingSets } from '../images/open-dataset.js';
import { makeFolder } from '../io/atomic-file.js';
import { type LoadedModel, type OpenOptions, splitOpenOptions } from '../io/models/model-file.js';
import { type ModelSource, openModelSource } from '../io/models/model-source.js';
import { saveModel } from '../io/models/save-model.js';
import { refuseInputAsOutput } from '../io/output-file.js';
import type { TrainPlan } from '../recipes/training-schema.js';
import { at, defined } from '../values.js';
import { openOrCreateModel } from './initial-model.js';
import { getInitialModelPlan, runTraining, type TrainingFigures } from './run-training.js';
import { getCheckpointFile } from './train-stage.js';
import { planTraining } from './training-phases.js';

/** Lists the options that `train` and `finetune` share. Options of opening apply to files alone. */
export interface TrainingSourceOptions extends RunOptions, OpenOptions, Omit<DataOptions, 'data'> {
  /** A model file, an opened model, or for `train` the name of a network to build, such as `vgg16_bn`. */
  readonly model: ModelSource;
  /** Images to train on: a folder, a zip archive, a built-in name or an opened data set. */
  readonly data: DataSource;
  /** Images that are evaluated after each epoch. Default: the part `val` or `test` of `data`, where it has one. */
  readonly validationData?: DataSource;
  /** A file that lists the validation images. */
  readonly validationSplit?: string;
  /** The model that stages with `distill` learn from. */
  readonly teacher?: ModelSource;
  /** The model file to write. Default: none is written. */
  readonly output?: string;
  /** Folder for checkpoints and metrics. Default: none are written, and the training cannot be resumed. */
  readonly work?: string;
  /** Resume from the checkpoint in `work`. Default: false. */
  readonly resume?: boolean;
}

/** Holds a trained model and what its training did. */
export interface TrainResult extends TrainingFigures {
  readonly model: LoadedModel;
  /** The parts of the data sets that were taken, such as `train` and `val`; `null` where there is none. */
  readonly parts: { readonly train: string | null; readonly validation: string | null };
  /** The model file that was written. Absent where none was asked for, and for an interrupted training. */
  readonly output?: string;
  readonly work?: string;
}

const filesOf = (sources: readonly (ModelSource | undefined)[]): string[] =>
  sources.filter((source) => typeof source === 'string');

/** Reports whether a training resumes, where that is not what may be expected. */
function reportResumption({ work, resume }: TrainingSourceOptions, context: RunContext): void {
  if (work === undefined) return;
  const found = existsSync(getCheckpointFile(work, 0));
  if (resume && !found) context.onWarning?.(`there is no checkpoint in ${work}: the training starts again`);
  if (!resume && found) {
    context.onWarning?.(`the checkpoint of an earlier training in ${work} will be replaced; \`resume\` continues it`);
  }
}

/** Trains on opened data sets. */
async function trainOnSets(
  options: TrainingSourceOptions,
  plan: TrainPlan,
  train: Dataset,
  validation: Dataset | undefined,
): Promise<TrainResult> {
  const { model: source, teacher: teacherSource, output, work, resume } = options;
  const paths = filesOf([source, teacherSource ?? source]);
  const byPath = new Map(splitOpenOptions(paths, options).map((open, i) => [at(paths, i), open]));
  const findOptions = (model: ModelSource): OpenOptions => (typeof model === 'string' && byPath.get(model)) || {};
  const model =
    typeof source === 'string'
      ? await openOrCreateModel(source, getInitialModelPlan(plan), train, findOptions(source))
      : { ...source, notes: [], isFresh: false };
  reportNotes(model, options);
  const teacher =
    teacherSource === undefined ? undefined : await openModelSource(teacherSource, findOptions(teacherSource), options);
  reportResumption(options, options);
  if (!validation) options.onNote?.('without validation images the last epoch is kept; `validationData` gives some');
  const counts = { train: train.source.items.length, ...defined({ validation: validation?.source.items.length }) };
  const { isFresh = false } = model;
  options.onPhases?.(planTraining(plan.stages, counts, isFresh || plan.head !== undefined || plan.init === 'scratch'));
  const { model: trained, figures } = await runTraining(
    {
      model,
      data: { train, ...defined({ validation }) },
      plan,
      isFresh,
      ...(work === undefined ? {} : { work: { folder: work, resume: resume === true } }),
      ...defined({ teacher }),
    },
    options,
  );
  const parts = { train: train.source.part ?? null, validation: validation?.source.part ?? null };
  const result = { ...figures, model: trained, parts, ...defined({ work }) };
  // An interrupted training is in its checkpoint; a model file is written when it is complete.
  if (figures.interrupted || output === undefined) return result;
  await makeFolder(dirname(output));
  await saveModel(trained, output, { engine: getEngine(options) });
  return { ...result, output };
}

/** Opens what a training needs, trains, and writes the model file where one is asked for. */
export async function trainSources(options: TrainingSourceOptions, plan: TrainPlan): Promise<TrainResult> {
  const { model, teacher, output, data, validationData, validationSplit: split } = options;
  if (output !== undefined) refuseInputAsOutput(output, filesOf([model, teacher]));
  const source = validationData ?? (split === undefined ? undefined : data);
  const validation = typeof source === 'string' ? { data: source, ...defined({ split }) } : source && { data: source };
  return withTrainingSets(options, validation, options, (train, held) => trainOnSets(options, plan, train, held));
}
