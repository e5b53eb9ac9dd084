import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import type { ImageRecipe } from '../data/image-loader.js';
import { fileCheckpoint } from '../node/checkpoint.js';
import { featureKey } from '../node/feature-store.js';
import {
  defaultOutput,
  headPattern,
  type LoadedModel,
  type OpenOptions,
  openModel,
  saveModel,
} from '../node/model-file.js';
import { type FitProgress, fit } from '../train/fit.js';
import { adam } from '../train/optimizers.js';
import type { CheckpointStore, EpochRecord } from '../train/training-state.js';
import { engineOf, type VerbContext } from './context.js';
import { checkLabels, type DataOptions, type Dataset, openDataset, preprocessOf } from './dataset.js';
import { FeatureCache, trainingData } from './finetune-data.js';
import { openMetricsLog, reportProgress } from './finetune-log.js';
import { augmentationOf, countTrained, forTraining, scheduleOf } from './finetune-plan.js';
import type { FinetunePlan } from './recipe.js';
import { trainsBy } from './summary.js';

/** Steps from one record of loss and accuracy to the next. */
const STEPS_PER_RECORD = 20;

/** The checkpoint's file in a work folder. */
const CHECKPOINT = 'checkpoint.safetensors';

/** What a fine-tuning did. */
export interface Finetuning {
  readonly history: readonly EpochRecord[];
  readonly steps: number;
  readonly interrupted: boolean;
  /** Numbers that were trained. */
  readonly trained: number;
  readonly seconds: number;
  /** Seconds of the last epoch, frozen prefix not counted. */
  readonly secondsPerEpoch: number;
  /** Images that could not be read. */
  readonly skipped: readonly string[];
}

/** Where a fine-tuning keeps what it needs to be gone on with. */
export interface WorkFolder {
  /** Checkpoint, `metrics.jsonl` and TensorBoard events go here. */
  readonly folder: string;
  /** Go on from the checkpoint in the folder. Default: start anew. */
  readonly resume?: boolean;
}

/** The checkpoint of a work folder, which is only looked at in order to go on, and the step it was found at. */
function checkpointIn(folder: string, resume: boolean): { store: CheckpointStore; resumedAt: () => number } {
  const file = fileCheckpoint(join(folder, CHECKPOINT));
  let step = 0;
  return {
    resumedAt: () => step,
    store: {
      async load() {
        const state = resume ? await file.load() : undefined;
        step = state?.progress.step ?? 0;
        return state;
      },
      save: (state) => file.save(state),
    },
  };
}

/**
 * Trains part of a loaded model, everything else frozen.
 *
 * @param plan.train patterns of the trained parameters. Default: the architecture's head.
 * @param plan.learningRate one number, or base and peak of a cyclic schedule (`triangular2`) whose rising half lasts
 *   `stepSizeUp` steps. Default for that: half of the training.
 * @param plan.views random views of each image when augmenting; epoch e uses view e mod views. Default: 2.
 * @throws UsageError for a pattern that fits no parameter, ShiboriError when the training cannot go on.
 */
export async function finetuneModel(
  model: LoadedModel,
  data: { readonly train: Dataset; readonly validation?: Dataset },
  plan: FinetunePlan,
  options: { readonly work?: WorkFolder } = {},
  context: VerbContext = {},
): Promise<{ readonly model: LoadedModel; readonly report: Finetuning }> {
  const start = performance.now();
  const { batch, epochs, seed } = plan;
  for (const dataset of [data.train, data.validation]) if (dataset) checkLabels(model.graph, dataset.source);
  const patterns = typeof plan.train === 'string' ? [plan.train] : (plan.train ?? [headPattern(model.info)]);
  const trains = trainsBy(patterns);
  const trained = countTrained(model.graph, patterns);
  const training = forTraining(model.graph, trains, batch);
  const preprocess = preprocessOf(model.graph, model.info);
  const augmentation = plan.augment && augmentationOf(plan.augment, preprocess);

  const skipped: string[] = [];
  const onBad = (path: string, reason: string) => {
    skipped.push(path);
    context.onWarning?.(`skipped ${path}: ${reason}`);
  };
  const recipe: ImageRecipe = { preprocess, augmentation, seed };
  const plain: ImageRecipe = { ...recipe, augmentation: undefined };
  const train = trainingData(data.train, recipe, onBad, context.workers);
  const views = augmentation ? (plan.views ?? 2) : 1;
  const cache = new FeatureCache();
  const validation = data.validation && {
    validation: trainingData(data.validation, plain, onBad, context.workers),
    validationStore: await cache.storeFor(data.validation, plain, 1),
  };

  const { work } = options;
  const checkpoint = work && checkpointIn(work.folder, work.resume === true);
  const log = work && openMetricsLog(join(work.folder, 'metrics.jsonl'), () => checkpoint?.resumedAt() ?? 0);
  const report = reportProgress(epochs, views, context.onProgress);
  let step = 0;
  const onProgress = (p: FitProgress) => {
    report(p);
    if (p.step === undefined) return;
    step = p.step;
    if (step % STEPS_PER_RECORD !== 0 || p.loss === undefined || p.top1 === undefined) return;
    log?.add(step, { 'train/loss': p.loss, 'train/top1': p.top1, 'train/learningRate': p.learningRate ?? 0 });
  };
  const onEpoch = async (epoch: EpochRecord) => {
    log?.add(step, {
      epoch: epoch.epoch,
      'epoch/trainLoss': epoch.trainLoss,
      'epoch/trainTop1': epoch.trainTop1,
      ...(epoch.validationLoss === undefined ? {} : { 'epoch/validationLoss': epoch.validationLoss }),
      ...(epoch.validationTop1 === undefined ? {} : { 'epoch/validationTop1': epoch.validationTop1 }),
    });
    await log?.flush();
  };
  // More epochs than before is the same training, gone on with. So is one with other patience, but not one that had none:
  // it did not keep its best parameters.
  const { epochs: _, patience, ...rest } = plan;
  const same = { ...rest, stopsEarly: patience !== undefined };
  try {
    const result = await fit(training.graph, {
      engine: engineOf(context),
      data: train,
      ...validation,
      trains,
      optimizer: adam({ weightDecay: plan.weightDecay }),
      schedule: scheduleOf(plan, Math.ceil(train.count / batch) * epochs),
      epochs,
      batch,
      seed,
      views,
      store: await cache.storeFor(data.train, recipe, Math.min(views, epochs)),
      ...(checkpoint ? { checkpoint: checkpoint.store } : {}),
      fingerprint: featureKey([JSON.stringify(same), data.train.source.items.map(({ path }) => path).join('\n')]),
      ...(patience === undefined ? {} : { patience }),
      onProgress,
      onEpoch,
      ...(context.signal ? { signal: context.signal } : {}),
    });
    await log?.flush();
    return {
      model: { ...model, graph: training.back(result.graph) },
      report: {
        history: result.history,
        steps: result.steps,
        interrupted: result.interrupted,
        trained,
        seconds: (performance.now() - start) / 1000,
        secondsPerEpoch: result.history.at(-1)?.seconds ?? 0,
        skipped,
      },
    };
  } finally {
    await train.close();
    await validation?.validation.close();
    await log?.close();
  }
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
  options: DataOptions &
    OpenOptions & {
      readonly validation?: DataOptions;
      readonly output?: string;
      readonly work?: string;
      readonly resume?: boolean;
    },
  context: VerbContext = {},
): Promise<Finetuning & { readonly output: string | null; readonly work: string }> {
  const model = await openModel(file, options);
  const train = await openDataset(options, 'train');
  const validation = options.validation && (await openDataset(options.validation));
  const folder = options.work ?? join('shibori-out', 'finetune', basename(file, extname(file)));
  const found = existsSync(join(folder, CHECKPOINT));
  if (options.resume && !found) context.onWarning?.(`there is no checkpoint in ${folder}: the training starts anew`);
  if (!options.resume && found) {
    context.onWarning?.(
      `the checkpoint of an earlier training in ${folder} will be replaced; --resume goes on with it`,
    );
  }
  try {
    const { model: trained, report } = await finetuneModel(
      model,
      { train, ...(validation ? { validation } : {}) },
      plan,
      { work: { folder, ...(options.resume ? { resume: true } : {}) } },
      context,
    );
    // An interrupted training is in its checkpoint; a model file is written when it is done.
    if (report.interrupted) return { ...report, output: null, work: folder };
    const output = options.output ?? defaultOutput(file, 'finetuned');
    await mkdir(dirname(output), { recursive: true });
    await saveModel(trained, output);
    return { ...report, output, work: folder };
  } finally {
    await train.source.close?.();
    await validation?.source.close?.();
  }
}
