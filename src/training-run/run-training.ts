import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { RunContext } from '../context/run-context.js';
import { getHeadPattern, type LoadedModel } from '../io/models/model-file.js';
import type { TrainPlan } from '../recipes/training-schema.js';
import type { ValidationResult } from '../train/best-weights.js';
import { defined } from '../values.js';
import { type InitialModelPlan, prepareInitialModel } from './initial-model.js';
import { labelByTeacher } from './teacher-labels.js';
import { openStageCheckpoint, type TrainingSets, trainStage } from './train-stage.js';
import { type MetricsLog, openMetricsLog } from './training-log.js';
import {
  chooseKeptEpoch,
  type KeptEpoch,
  summarizeOutcome,
  type TrainedEpoch,
  type TrainingOutcome,
  warnIfNoGain,
} from './training-outcome.js';

/** Reports what a training did, in numbers. */
export interface TrainingFigures extends TrainingOutcome {
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

/** Names the folder where a training keeps what it needs to be resumed. */
export interface WorkFolder {
  /** A checkpoint of each stage, `metrics.jsonl` and TensorBoard events go here. */
  readonly folder: string;
  /** Resume from the checkpoints in the folder. Default: start again. */
  readonly resume?: boolean;
}

/** Holds what a training begins with. */
export interface TrainingInput {
  readonly model: LoadedModel;
  readonly data: TrainingSets;
  readonly plan: TrainPlan;
  /** Default: nothing is written, and the training cannot be resumed. */
  readonly work?: WorkFolder;
  /** The model that stages with `distill` learn from. */
  readonly teacher?: LoadedModel;
  /** Whether the model's parameters are untrained: epoch 0 is not measured then. Default: false. */
  readonly isFresh?: boolean;
}

/** Picks the part of a plan that decides the model before its first step. */
export const getInitialModelPlan = ({ head, init, stages }: TrainPlan): InitialModelPlan => ({
  head,
  init,
  seed: stages[0]?.seed ?? 0,
});

/** Deletes the checkpoints of the stages after one: they began with parameters that no longer exist. */
async function deleteLaterCheckpoints(folder: string, stage: number): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    const number = Number(/^checkpoint-(\d+)\.safetensors$/.exec(name)?.[1]);
    if (number > stage + 1) await rm(join(folder, name), { force: true });
  }
}

/** Runs the stages of a training one after the other, and adds up what they did. */
class TrainingRun {
  readonly #input: TrainingInput;
  readonly #context: RunContext;
  readonly #history: TrainedEpoch[] = [];
  readonly #skipped: string[] = [];
  readonly #log: MetricsLog | undefined;
  readonly #start = performance.now();
  #before: ValidationResult | undefined;
  #kept: KeptEpoch | undefined;
  #resumedAt = () => 0;
  #steps = 0;
  #trained = 0;
  #waitedSeconds = 0;
  #interrupted = false;

  constructor(input: TrainingInput, context: RunContext) {
    this.#input = input;
    this.#context = context;
    this.#log = input.work && openMetricsLog(join(input.work.folder, 'metrics.jsonl'), () => this.#resumedAt());
  }

  /** Runs all stages; each begins with the model that the one before returned. */
  async run(): Promise<LoadedModel> {
    const { data, plan, teacher, isFresh } = this.#input;
    const labelled: TrainingSets = {
      train: await labelByTeacher(data.train, teacher, this.#context),
      ...(data.validation ? { validation: await labelByTeacher(data.validation, teacher, this.#context) } : {}),
    };
    const initial = prepareInitialModel(this.#input.model, getInitialModelPlan(plan), labelled.train, this.#context);
    let { model } = initial;
    let known: ValidationResult | 'skip' | undefined = initial.isFresh || isFresh ? 'skip' : undefined;
    try {
      for (let i = 0; i < plan.stages.length && !this.#interrupted; i++) {
        model = await this.#runStage(i, model, labelled, { known, head: initial.head });
        // The next stage begins with the model that this one returns.
        const { validationLoss: loss, validationTop1: top1 } = this.#kept ?? {};
        known = loss === undefined || top1 === undefined ? undefined : { loss, top1 };
      }
      await this.#log?.flush();
    } finally {
      await this.#log?.close();
    }
    return model;
  }

  async #runStage(
    index: number,
    model: LoadedModel,
    data: TrainingSets,
    start: { readonly known: ValidationResult | 'skip' | undefined; head(): readonly string[] },
  ): Promise<LoadedModel> {
    const { plan, work, teacher } = this.#input;
    const stage = plan.stages[index];
    if (!stage) throw new Error(`Stage ${index} is out of range.`);
    const stepsBefore = this.#steps;
    const epochsBefore = this.#history.length;
    const checkpoint =
      work &&
      openStageCheckpoint(work.folder, index, work.resume === true, () => deleteLaterCheckpoints(work.folder, index));
    this.#resumedAt = () => stepsBefore + (checkpoint?.resumedAt() ?? 0);
    const patterns = [stage.train ?? getHeadPattern(this.#input.model.info)]
      .flat()
      .flatMap((pattern) => (pattern === 'head' ? start.head() : [pattern]));
    const result = await trainStage(
      model,
      data,
      { ...stage, train: patterns },
      {
        label: plan.stages.length > 1 ? `stage ${index + 1}/${plan.stages.length}, ` : '',
        stepsBefore,
        epochsBefore,
        ...defined({ checkpoint, log: this.#log, teacher: teacher?.graph, before: start.known }),
        onSkipped: (path) => this.#skipped.push(path),
      },
      this.#context,
    );
    for (const epoch of result.history) {
      this.#history.push({ ...epoch, epoch: epochsBefore + epoch.epoch, stage: index + 1 });
    }
    if (index === 0) this.#before = result.before;
    this.#kept = chooseKeptEpoch({ ...result, keep: stage.keep, epochsBefore }, this.#history, this.#kept);
    this.#steps += result.steps;
    this.#trained = result.trained;
    this.#waitedSeconds += result.waitedSeconds;
    this.#interrupted = result.interrupted;
    return result.model;
  }

  /** Reports what the stages did. */
  report(): TrainingFigures {
    const seconds = (performance.now() - this.#start) / 1000;
    if (!this.#kept) throw new Error('A training has at least one stage.');
    const outcome = summarizeOutcome(this.#before, this.#kept);
    if (!this.#interrupted) warnIfNoGain(outcome, this.#history, this.#context);
    return {
      history: this.#history,
      ...outcome,
      steps: this.#steps,
      interrupted: this.#interrupted,
      trained: this.#trained,
      seconds,
      waiting: { seconds: this.#waitedSeconds, share: this.#waitedSeconds / seconds },
      secondsPerEpoch: this.#history.at(-1)?.seconds ?? 0,
      skipped: this.#skipped,
    };
  }
}

/**
 * Trains a loaded model on opened data sets, stage after stage.
 *
 * A stage that is complete by its checkpoint in the work folder is not run again: its checkpoint holds the result, with
 * which the next stage begins.
 *
 * @throws UsageError for a pattern that fits no parameter, ShiboriError when the training cannot continue.
 */
export async function runTraining(
  input: TrainingInput,
  context: RunContext,
): Promise<{ readonly model: LoadedModel; readonly figures: TrainingFigures }> {
  const run = new TrainingRun(input, context);
  const model = await run.run();
  return { model, figures: run.report() };
}
