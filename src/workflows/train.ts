import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { getEngine, type RunContext, reportNotes } from '../context/run-context.js';
import { type DataOptions, withTrainingSets } from '../images/open-dataset.js';
import { makeFolder } from '../io/atomic-file.js';
import {
  buildDefaultOutput,
  getHeadPattern,
  getModelExtension,
  type LoadedModel,
  type OpenOptions,
  openModel,
  splitOpenOptions,
} from '../io/models/model-file.js';
import { saveModel } from '../io/models/save-model.js';
import { refuseInputAsOutput } from '../io/output-file.js';
import type { TrainPlan } from '../recipes/training-schema.js';
import type { ValidationResult } from '../train/best-weights.js';
import { type InitialModelPlan, openOrCreateModel, prepareInitialModel } from '../training-run/initial-model.js';
import { labelByTeacher } from '../training-run/teacher-labels.js';
import { getCheckpointFile, openStageCheckpoint, type TrainingSets, trainStage } from '../training-run/train-stage.js';
import { openMetricsLog } from '../training-run/training-log.js';
import {
  chooseKeptEpoch,
  type KeptEpoch,
  summarizeOutcome,
  type TrainedEpoch,
  type TrainingOutcome,
  warnIfNoGain,
} from '../training-run/training-outcome.js';
import { planTraining } from '../training-run/training-phases.js';
import { defined } from '../values.js';

export type { TrainedEpoch } from '../training-run/training-outcome.js';

/** What a training did. */
export interface Training extends TrainingOutcome {
  readonly history: readonly TrainedEpoch[];
  /** Steps of all stages. */
  readonly steps: number;
  readonly interrupted: boolean;
  /** Numbers that were trained in the last stage. */
  readonly trained: number;
  readonly seconds: number;
  /** Seconds in which images were waited for, and their share of `seconds` (0…1). */
  readonly waiting: { readonly seconds: number; readonly share: number };
  /** Seconds of the last epoch, frozen prefix not counted. */
  readonly secondsPerEpoch: number;
  /** Images that could not be read. */
  readonly skipped: readonly string[];
}

/** Where a training keeps what it needs to be gone on with. */
export interface WorkFolder {
  /** A checkpoint of each stage, `metrics.jsonl` and TensorBoard events go here. */
  readonly folder: string;
  /** Go on from the checkpoints in the folder. Default: start anew. */
  readonly resume?: boolean;
}

const getInitialModelPlan = ({ head, init, stages }: TrainPlan): InitialModelPlan => ({
  head,
  init,
  seed: stages[0]?.seed ?? 0,
});

/** Deletes the checkpoints of the stages after one: they went on from what is no longer there. */
async function deleteLaterCheckpoints(folder: string, stage: number): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    const number = Number(/^checkpoint-(\d+)\.safetensors$/.exec(name)?.[1]);
    if (number > stage + 1) await rm(join(folder, name), { force: true });
  }
}

/** What a training of a loaded model may be given beside its plan. */
export interface TrainModelOptions {
  readonly work?: WorkFolder;
  /** The model that stages with `distill` learn from. */
  readonly teacher?: LoadedModel;
  /** Whether the model's parameters are untrained: epoch 0 is not measured then. Default: false. */
  readonly isFresh?: boolean;
}

/**
 * Trains a loaded model, stage after stage.
 *
 * A stage that a checkpoint in the work folder says is done is not done again: its checkpoint holds what it came to, and
 * the next goes on from there. Stopping between two stages or within one is the same.
 *
 * @param plan.head a fresh last layer. `train: head` trains it alone.
 * @param plan.init `scratch`: every parameter begins anew, drawn from streams of the first stage's seed.
 * @param plan.stages what is trained, how long, and how; see `finetuneModel`.
 * @throws UsageError for a pattern that fits no parameter, ShiboriError when the training cannot go on.
 */
export async function trainModel(
  model: LoadedModel,
  data: TrainingSets,
  plan: TrainPlan,
  options: TrainModelOptions = {},
  context: RunContext = {},
): Promise<{ readonly model: LoadedModel; readonly report: Training }> {
  const start = performance.now();
  const { work, teacher } = options;
  const labelled: TrainingSets = {
    train: await labelByTeacher(data.train, teacher, context),
    ...(data.validation ? { validation: await labelByTeacher(data.validation, teacher, context) } : {}),
  };
  const begun = prepareInitialModel(model, getInitialModelPlan(plan), labelled.train, context);
  const skipped: string[] = [];
  const history: TrainedEpoch[] = [];
  let current = begun.model;
  let [steps, trained, waited] = [0, 0, 0];
  let interrupted = false;
  let before: ValidationResult | undefined;
  let kept: KeptEpoch | undefined;
  let known: ValidationResult | 'skip' | undefined = begun.isFresh || options.isFresh ? 'skip' : undefined;
  let resumedAt = () => 0;
  const log = work && openMetricsLog(join(work.folder, 'metrics.jsonl'), () => resumedAt());
  try {
    for (const [i, stage] of plan.stages.entries()) {
      const stepsBefore = steps;
      const checkpoint =
        work && openStageCheckpoint(work.folder, i, work.resume === true, () => deleteLaterCheckpoints(work.folder, i));
      resumedAt = () => stepsBefore + (checkpoint?.resumedAt() ?? 0);
      const patterns = [stage.train ?? getHeadPattern(model.info)]
        .flat()
        .flatMap((pattern) => (pattern === 'head' ? begun.head() : [pattern]));
      const result = await trainStage(
        current,
        labelled,
        { ...stage, train: patterns },
        {
          label: plan.stages.length > 1 ? `stage ${i + 1}/${plan.stages.length}, ` : '',
          stepsBefore,
          epochsBefore: history.length,
          ...defined({ checkpoint, log, teacher: teacher?.graph, before: known }),
          onSkipped: (path) => skipped.push(path),
        },
        context,
      );
      const epochsBefore = history.length;
      history.push(...result.history.map((epoch) => ({ ...epoch, epoch: epochsBefore + epoch.epoch, stage: i + 1 })));
      current = result.model;
      if (i === 0) before = result.before;
      kept = chooseKeptEpoch({ ...result, keep: stage.keep, epochsBefore }, history, kept);
      // The next stage begins with what this one gives back.
      const { validationLoss: loss, validationTop1: top1 } = kept;
      known = loss === undefined || top1 === undefined ? undefined : { loss, top1 };
      steps += result.steps;
      trained = result.trained;
      waited += result.waitedSeconds;
      interrupted = result.interrupted;
      if (interrupted) break;
    }
    await log?.flush();
  } finally {
    await log?.close();
  }
  const seconds = (performance.now() - start) / 1000;
  if (!kept) throw new Error('unreachable: a training has at least one stage');
  const outcome = summarizeOutcome(before, kept);
  if (!interrupted) warnIfNoGain(outcome, history, context);
  const report: Training = {
    history,
    ...outcome,
    steps,
    interrupted,
    trained,
    seconds,
    waiting: { seconds: waited, share: waited / seconds },
    secondsPerEpoch: history.at(-1)?.seconds ?? 0,
    skipped,
  };
  return { model: current, report };
}

/** Options of a training on files. */
export interface TrainOptions extends DataOptions, OpenOptions {
  /** Data that is evaluated after each epoch. Default: the part `val` or `test` of the data set, where it has one. */
  readonly validation?: DataOptions;
  /** The file to write. */
  readonly output?: string;
  /** Folder for checkpoints and metrics. */
  readonly work?: string;
  readonly resume?: boolean;
  /** A model file that stages with `distill` learn from. */
  readonly teacher?: string;
}

/** What a training on files did, and where it is. */
export type TrainedFile = Training & {
  /** The parts of the data sets that were taken, such as `train` and `val`; `null` where there is none. */
  readonly parts: { readonly train: string | null; readonly validation: string | null };
  readonly output: string | null;
  readonly work: string;
};

/**
 * Trains a model file and writes the result.
 *
 * @param name a model file, or the name of a network that is made: `vgg16_bn`.
 * @param options.output default: `MODEL-trained` with the model's own extension, `.onnx` for a network that is made.
 * @param options.work default: `shibori-out/train/MODEL`.
 */
export async function train(
  name: string,
  plan: TrainPlan,
  options: TrainOptions,
  context: RunContext = {},
): Promise<TrainedFile> {
  return trainFile(name, plan, options, { command: 'train', outputSuffix: 'trained' }, context);
}

/** What `train` and `finetune` have in common: files in, files out. */
export async function trainFile(
  name: string,
  plan: TrainPlan,
  options: TrainOptions,
  names: { readonly command: string; readonly outputSuffix: string },
  context: RunContext,
): Promise<TrainedFile> {
  const output = options.output ?? buildDefaultOutput(name, names.outputSuffix, getModelExtension(name) || '.onnx');
  refuseInputAsOutput(output, [name, options.teacher]);
  return withTrainingSets(options, options.validation, context, async (train, validation) => {
    const parts = { train: train.source.part ?? null, validation: validation?.source.part ?? null };
    const [forModel, forTeacher] = splitOpenOptions([name, options.teacher ?? name], options);
    const model = await openOrCreateModel(name, getInitialModelPlan(plan), train, forModel ?? {});
    reportNotes(model, context);
    const teacher = options.teacher === undefined ? undefined : await openModel(options.teacher, forTeacher);
    if (teacher) reportNotes(teacher, context);
    const folder = options.work ?? join('shibori-out', names.command, basename(name, extname(name)));
    const found = existsSync(getCheckpointFile(folder, 0));
    if (options.resume && !found) context.onWarning?.(`there is no checkpoint in ${folder}: the training starts again`);
    if (!options.resume && found) {
      context.onWarning?.(
        `the checkpoint of an earlier training in ${folder} will be replaced; \`resume\` continues it`,
      );
    }
    if (!validation) context.onNote?.('without validation images the last epoch is kept; `validationData` gives some');
    const counts = {
      train: train.source.items.length,
      ...(validation ? { validation: validation.source.items.length } : {}),
    };
    const isFresh = model.isFresh === true || plan.head !== undefined || plan.init === 'scratch';
    context.onPhases?.(planTraining(plan.stages, counts, isFresh));
    const { model: trained, report } = await trainModel(
      model,
      { train, ...defined({ validation }) },
      plan,
      {
        work: { folder, ...(options.resume ? { resume: true } : {}) },
        ...defined({ teacher }),
        ...(model.isFresh ? { isFresh: true } : {}),
      },
      context,
    );
    // An interrupted training is in its checkpoint; a model file is written when it is done.
    if (report.interrupted) return { ...report, parts, output: null, work: folder };
    await makeFolder(dirname(output));
    await saveModel(trained, output, { engine: getEngine(context) });
    return { ...report, parts, output, work: folder };
  });
}
