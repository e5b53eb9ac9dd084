import { join } from 'node:path';
import { getEngine, type RunContext } from '../context/run-context.js';
import type { ImageTransform } from '../data/image-loader.js';
import { UsageError } from '../errors.js';
import { findFixedBatch } from '../graph/batch.js';
import type { Graph } from '../graph/model.js';
import { checkLabels, type Dataset, requirePreprocess } from '../images/open-dataset.js';
import { computeCacheKey } from '../io/feature-cache.js';
import type { LoadedModel } from '../io/models/model-file.js';
import { openCheckpointFile } from '../io/training-checkpoint-file.js';
import { buildTrainedPredicate } from '../models/summary.js';
import {
  buildAugmentation,
  buildOptimizer,
  buildParameterGroups,
  buildSchedule,
  countStepsPerEpoch,
  countTrained,
  prepareForTraining,
} from '../recipes/plan-settings.js';
import type { FinetunePlan } from '../recipes/training-schema.js';
import type { ValidationResult } from '../train/best-weights.js';
import { type FitProgress, type FitResult, fit } from '../train/fit.js';
import type { CheckpointStore, EpochRecord } from '../train/training-state.js';
import { defined } from '../values.js';
import { buildDistillation } from './distillation-options.js';
import { FeatureCache, openTrainingData } from './training-data-loader.js';
import { createProgressReporter, type MetricsLog } from './training-log.js';

/** Steps from one record of loss and accuracy to the next. */
const STEPS_PER_RECORD = 20;

/** The checkpoint's file of a stage, counted from 0, in a work folder. */
export const getCheckpointFile = (folder: string, stage: number): string =>
  join(folder, stage === 0 ? 'checkpoint.safetensors' : `checkpoint-${stage + 1}.safetensors`);

/** Holds the checkpoint of a stage, which is only read to resume it. */
export interface StageCheckpoint extends CheckpointStore {
  /** The step it was found at; 0 for a stage that starts from the beginning. */
  resumedAt(): number;
}

/** @param onFirstSave called before the first checkpoint of a stage that starts from the beginning is written. */
export function openStageCheckpoint(
  folder: string,
  stage: number,
  resume: boolean,
  onFirstSave: () => Promise<void>,
): StageCheckpoint {
  const file = openCheckpointFile(getCheckpointFile(folder, stage));
  let step = 0;
  let isFirst = true;
  return {
    resumedAt: () => step,
    async load() {
      const state = resume ? await file.load() : undefined;
      step = state?.progress.step ?? 0;
      isFirst = state === undefined;
      return state;
    },
    async save(state) {
      if (isFirst) await onFirstSave();
      isFirst = false;
      await file.save(state);
    },
  };
}

/** Images of a training, by what they are for. */
export interface TrainingSets {
  readonly train: Dataset;
  readonly validation?: Dataset;
}

/** Where a stage stands in its training. */
export interface StagePlace {
  /** `stage 1/2, `, or nothing. */
  readonly label: string;
  /** Steps and epochs of the stages before it. */
  readonly stepsBefore: number;
  readonly epochsBefore: number;
  readonly checkpoint?: StageCheckpoint;
  readonly log?: MetricsLog;
  /** Who is learnt from, where the plan says what. */
  readonly teacher?: Graph;
  /** What the model measures before the stage, where that is known; `skip` for fresh parameters. */
  readonly before?: ValidationResult | 'skip';
  /** Called with the path of each image that cannot be read. */
  readonly onSkipped: (path: string) => void;
}

/** What a stage did. */
export interface StageResult extends Pick<FitResult, 'history' | 'steps' | 'interrupted' | 'before' | 'best'> {
  readonly model: LoadedModel;
  /** Numbers that were trained. */
  readonly trained: number;
  /** Seconds in which images were waited for, of this run alone. */
  readonly waitedSeconds: number;
}

/**
 * A plan for a graph that runs for batches of one size alone: a step adds up the gradients of as many of them as hold about
 * the images that the plan asks for.
 *
 * @throws UsageError when there are fewer images than one batch.
 */
function adaptToFixedBatch<P extends FinetunePlan>(
  size: number,
  plan: P,
  graph: Graph,
  { train }: TrainingSets,
  context: RunContext,
): P {
  const count = train.source.items.length;
  if (count < size) {
    throw new UsageError(
      `The model runs for batches of ${size} images alone, "${train.source.name}" has ${count}: expected at least ${size} to train on.`,
    );
  }
  const accumulate = Math.max(1, Math.round((plan.batch * plan.accumulate) / size));
  const normalises = graph.nodes.some(({ op }) => op === 'BatchNormalization');
  const isFrozen = size === 1 && normalises && plan.batchNorm === 'train';
  context.onNote?.(
    `The model runs for batches of ${size} alone: a step adds up the gradients of ${accumulate} of them${
      isFrozen ? '; one image has no batch statistics, so batch norms keep their running ones' : ''
    }.`,
  );
  return { ...plan, batch: size, accumulate, ...(isFrozen ? { batchNorm: 'frozen' as const } : {}) };
}

/** Trains a part of a loaded model, as one stage of a training. */
export async function trainStage(
  model: LoadedModel,
  data: TrainingSets,
  wanted: FinetunePlan & { readonly train: readonly string[] },
  place: StagePlace,
  context: RunContext,
): Promise<StageResult> {
  const fixed = findFixedBatch(model.graph);
  const plan = fixed === undefined ? wanted : adaptToFixedBatch(fixed, wanted, model.graph, data, context);
  const { batch, epochs, seed } = plan;
  for (const dataset of [data.train, data.validation]) if (dataset) checkLabels(model, dataset.source);
  const trains = buildTrainedPredicate(plan.train);
  const trained = countTrained(model.graph, plan.train);
  const groups = buildParameterGroups(plan, model.graph);
  const images = data.train.source.items.length;
  const steps = countStepsPerEpoch(plan, fixed === undefined ? images : images - (images % fixed));
  const schedule = buildSchedule(plan, steps);
  const optimizer = buildOptimizer(plan);
  const training = prepareForTraining(model.graph, trains, batch);
  if ((plan.distill === undefined) !== (place.teacher === undefined)) {
    throw new UsageError('To learn from a teacher takes both: the model that teaches, and `distill` to say what.');
  }
  const preprocess = requirePreprocess(model.graph, model.info);
  const augmentation = plan.augment && buildAugmentation(plan.augment, preprocess);

  const onBad = (path: string, reason: string) => {
    place.onSkipped(path);
    context.onWarning?.(`skipped ${path}: ${reason}`);
  };
  const recipe: ImageTransform = { preprocess, augmentation, seed };
  const plain: ImageTransform = { ...recipe, augmentation: undefined };
  const views = augmentation ? (plan.views ?? 2) : 1;
  const cache = new FeatureCache();

  const answers = augmentation ? undefined : await cache.prepareStore(data.train, recipe, 1);
  const distillation =
    plan.distill && place.teacher && buildDistillation(training.graph, place.teacher, plan.distill, answers);

  const { log, checkpoint } = place;
  const report = createProgressReporter(epochs, views, context.onProgress, place.label);
  // What the last step was, before the first one of this run.
  const getStepBefore = () => place.stepsBefore + (checkpoint?.resumedAt() ?? 0);
  let step: number | undefined;
  // Counted from where features, steps and validation of each epoch begin.
  const waits = new Map<string, number>();
  const onProgress = (p: FitProgress) => {
    report(p);
    if (p.waitedSeconds !== undefined) waits.set(`${p.epoch} ${p.phase}`, p.waitedSeconds);
    if (p.step === undefined) return;
    step = place.stepsBefore + p.step;
    if (step % STEPS_PER_RECORD !== 0 || p.loss === undefined || p.top1 === undefined) return;
    log?.add(step, { 'train/loss': p.loss, 'train/top1': p.top1, 'train/learningRate': p.learningRate ?? 0 });
  };
  const onBefore = async ({ loss, top1 }: ValidationResult) => {
    log?.add(place.stepsBefore, {
      epoch: place.epochsBefore,
      'epoch/validationLoss': loss,
      'epoch/validationTop1': top1,
    });
    await log?.flush();
  };
  const onEpoch = async (epoch: EpochRecord) => {
    log?.add(step ?? getStepBefore(), {
      epoch: place.epochsBefore + epoch.epoch,
      'epoch/trainLoss': epoch.trainLoss,
      'epoch/trainTop1': epoch.trainTop1,
      ...defined({ 'epoch/validationLoss': epoch.validationLoss, 'epoch/validationTop1': epoch.validationTop1 }),
    });
    await log?.flush();
  };
  // More epochs than before is the same training, continued. So is one with other patience, but not one that had none:
  // it did not keep its best parameters.
  const { epochs: _, patience, ...rest } = plan;
  const same = { ...rest, stopsEarly: patience !== undefined };
  const train = openTrainingData(data.train, recipe, onBad, context.workers);
  const validation = data.validation && openTrainingData(data.validation, plain, onBad, context.workers);
  try {
    const result = await fit(training.graph, {
      engine: getEngine(context),
      data: train,
      trains,
      optimizer,
      schedule,
      groups,
      epochs,
      batch,
      accumulate: plan.accumulate,
      labelSmoothing: plan.labelSmoothing,
      batchNorm: plan.batchNorm,
      dropout: plan.dropout,
      ...defined({ distillation }),
      ...(plan.clip ? { clip: dropUndefined(plan.clip) } : {}),
      ...defined({ averaging: plan.ema }),
      seed,
      views,
      store: await cache.prepareStore(data.train, recipe, Math.min(views, epochs)),
      ...defined({ validation }),
      ...(data.validation ? { validationStore: await cache.prepareStore(data.validation, plain, 1) } : {}),
      ...defined({ checkpoint }),
      fingerprint: computeCacheKey([JSON.stringify(same), data.train.source.items.map(({ path }) => path).join('\n')]),
      ...defined({ patience }),
      keep: plan.keep,
      ...defined({ before: place.before }),
      onProgress,
      onBefore,
      onEpoch,
      ...defined({ signal: context.signal }),
    });
    const { history, interrupted, before, best } = result;
    return {
      model: { ...model, graph: training.restore(result.graph) },
      trained,
      waitedSeconds: [...waits.values()].reduce((sum, seconds) => sum + seconds, 0),
      history,
      interrupted,
      ...defined({ before, best }),
      steps: result.steps,
    };
  } finally {
    await train.close();
    await validation?.close();
  }
}

/** The bounds that were given. */
function dropUndefined({ norm, value }: NonNullable<FinetunePlan['clip']>): { norm?: number; value?: number } {
  return { ...defined({ norm, value }) };
}
