import { appendFile, mkdir, readFile, rm } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { type AugmentOptions, augment, checkAugmentOptions } from '../data/augment.js';
import { itemAt } from '../data/dataset.js';
import type { RgbImage } from '../data/image.js';
import { fitImage, type Preprocess, toTensor } from '../data/preprocess.js';
import { ShiboriError } from '../errors.js';
import { writeGraph } from '../formats/onnx/write.js';
import type { Graph } from '../graph/model.js';
import { writeFileAtomic } from '../node/atomic-file.js';
import { fileCheckpoint } from '../node/checkpoint.js';
import { diskStore, featureKey, makeRoom } from '../node/feature-store.js';
import { cacheFolder } from '../node/fetch.js';
import {
  defaultOutput,
  headPattern,
  type LoadedModel,
  type OpenOptions,
  openModel,
  saveModel,
} from '../node/model-file.js';
import { createEventFile } from '../node/tensorboard.js';
import { sizeOf } from '../tensor/dims.js';
import { seeded } from '../tensor/random.js';
import { byteSize } from '../tensor/tensor.js';
import type { FeatureStore } from '../train/feature-store.js';
import { memoryStore } from '../train/feature-store.js';
import { type FitProgress, fit } from '../train/fit.js';
import { adam } from '../train/optimizers.js';
import { constant, cyclic } from '../train/schedules.js';
import type { TrainingData } from '../train/training-data.js';
import type { EpochRecord } from '../train/training-state.js';
import { engineOf, type VerbContext } from './context.js';
import { checkLabels, type DataOptions, type Dataset, openDataset, preprocessOf } from './dataset.js';
import type { FinetunePlan } from './recipe.js';
import { trainsBy } from './summary.js';

/** Features are kept on disk up to this size; older ones make room. */
const CACHE_BYTES = 8e9;

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

/** Decodes, augments and normalises a data set's images for training. */
function trainingData(
  dataset: Dataset,
  preprocess: Preprocess,
  augmentation: AugmentOptions | undefined,
  seed: number,
  onBad: (path: string, reason: string) => void,
): TrainingData {
  const { source, decode } = dataset;
  const labels = Int32Array.from(source.items, ({ label }) => label);
  const [height, width] = preprocess.size;
  const blank: RgbImage = { width, height, data: new Uint8Array(width * height * 3) };
  const load = async (index: number, view: number): Promise<RgbImage> => {
    if (labels[index] === -1) return blank;
    const { path } = itemAt(source, index);
    try {
      const image = await decode(await source.read(index), path);
      return fitImage(augmentation ? augment(image, augmentation, seeded(seed, 3, view, index)) : image, preprocess);
    } catch (error) {
      if (!(error instanceof ShiboriError)) throw error;
      // Its row of the batch stays, without a label and so without a say in the loss.
      labels[index] = -1;
      onBad(path, error.message);
      return blank;
    }
  };
  return {
    count: source.items.length,
    labels,
    images: async (indices, view) => toTensor(await Promise.all(indices.map((index) => load(index, view))), preprocess),
  };
}

/** What makes a training's checkpoint its own. */
function fingerprintOf(model: LoadedModel, plan: FinetunePlan, dataset: Dataset): string {
  const shapes = [...model.graph.initializers].map(([value, tensor]) => `${value.name}:${tensor.dims}`);
  const paths = dataset.source.items.map(({ path }) => path);
  // More epochs than before is the same training, gone on with.
  const { epochs: _, ...rest } = plan;
  return featureKey([JSON.stringify(rest), shapes.join(), paths.join()]);
}

function storeFor(
  dataset: Dataset,
  plan: FinetunePlan,
  preprocess: Preprocess,
  views: number,
): (elements: number, prefix: Graph) => FeatureStore {
  const count = dataset.source.items.length;
  return (elements, prefix) => {
    const bytes = count * elements * 4 * views;
    // Small sets are quicker to compute again than to look after.
    if (bytes > CACHE_BYTES || bytes < 50e6) return memoryStore(count, elements);
    const key = featureKey([
      writeGraph(prefix),
      dataset.source.items.map(({ path }) => path).join('\n'),
      JSON.stringify({ preprocess, augment: plan.augment, seed: plan.seed, source: dataset.source.name }),
    ]);
    const root = join(cacheFolder(), 'features');
    makeRoom(root, key, bytes, CACHE_BYTES);
    return diskStore(join(root, key), count, elements);
  };
}

/** Lines of `metrics.jsonl` that a resumed training will write again are dropped. */
async function keepMetrics(file: string, steps: number): Promise<void> {
  const text = await readFile(file, 'utf8').catch(() => '');
  const kept = text.split('\n').filter((line) => {
    try {
      return line !== '' && Number((JSON.parse(line) as { step?: unknown }).step) <= steps;
    } catch {
      return false;
    }
  });
  await writeFileAtomic(file, kept.map((line) => `${line}\n`).join(''));
}

/**
 * Trains part of a loaded model, everything else frozen.
 *
 * @param plan.train patterns of the trained parameters. Default: the architecture's head.
 * @param plan.learningRate one number, or base and peak of a cyclic schedule (`triangular2`) whose rising half lasts
 *   `stepSizeUp` steps. Default for that: half of the training.
 * @param plan.views random views of each image when augmenting; epoch e uses view e mod views. Default: 2, at most one
 *   an epoch.
 */
export async function finetuneModel(
  model: LoadedModel,
  data: { readonly train: Dataset; readonly validation?: Dataset },
  plan: FinetunePlan,
  options: { readonly work?: WorkFolder } = {},
  context: VerbContext = {},
): Promise<{ readonly model: LoadedModel; readonly report: Finetuning }> {
  const start = performance.now();
  checkLabels(model.graph, data.train.source);
  if (plan.augment) checkAugmentOptions(plan.augment as AugmentOptions);
  const preprocess = preprocessOf(model.graph, model.info);
  const patterns = typeof plan.train === 'string' ? [plan.train] : (plan.train ?? [headPattern(model.info)]);
  const trains = trainsBy(patterns);
  const skipped: string[] = [];
  const onBad = (path: string, reason: string) => {
    skipped.push(path);
    context.onWarning?.(`skipped ${path}: ${reason}`);
  };
  const train = trainingData(data.train, preprocess, plan.augment as AugmentOptions | undefined, plan.seed, onBad);
  const validation = data.validation && trainingData(data.validation, preprocess, undefined, plan.seed, onBad);
  const views = plan.augment ? Math.min(plan.views ?? 2, plan.epochs) : 1;
  const stepsPerEpoch = Math.ceil(train.count / plan.batch);
  const stepSizeUp = plan.stepSizeUp ?? Math.max(1, Math.round((stepsPerEpoch * plan.epochs) / 2));
  const { learningRate } = plan;
  const schedule =
    typeof learningRate === 'number'
      ? constant(learningRate)
      : cyclic({ base: learningRate[0], max: learningRate[1], stepSizeUp });

  const { work } = options;
  const checkpointFile = work && join(work.folder, 'checkpoint.safetensors');
  const metricsFile = work && join(work.folder, 'metrics.jsonl');
  if (work) {
    await mkdir(work.folder, { recursive: true });
    if (!work.resume && checkpointFile) await rm(checkpointFile, { force: true });
  }
  const checkpoint = checkpointFile === undefined ? undefined : fileCheckpoint(checkpointFile);
  if (metricsFile) await keepMetrics(metricsFile, work?.resume ? ((await checkpoint?.load())?.progress.step ?? 0) : 0);
  const events = work && (await createEventFile(work.folder));
  const record = async (step: number, scalars: Readonly<Record<string, number>>) => {
    if (metricsFile) await appendFile(metricsFile, `${JSON.stringify({ step, ...scalars })}\n`);
    await events?.addScalars(step, scalars);
  };

  let stepNow = 0;
  let epochStart = performance.now();
  let pending: Promise<void> = Promise.resolve();
  const onProgress = (p: FitProgress) => {
    if (p.stage === 'train' && p.step !== undefined) {
      stepNow = p.step;
      if (p.step % 20 === 0 && p.loss !== undefined && p.top1 !== undefined && p.learningRate !== undefined) {
        const scalars = { 'train/loss': p.loss, 'train/top1': p.top1, 'train/learningRate': p.learningRate };
        pending = pending.then(() => record(p.step ?? 0, scalars));
      }
    }
    if (p.done <= plan.batch) epochStart = performance.now();
    const seconds = (performance.now() - epochStart) / 1000;
    const stage =
      p.stage === 'features'
        ? 'frozen prefix'
        : p.stage === 'validate'
          ? 'validate'
          : `epoch ${p.epoch + 1}/${plan.epochs}`;
    context.onProgress?.({
      stage,
      done: p.done,
      total: p.total,
      fields: {
        ...(p.loss === undefined ? {} : { loss: p.loss.toFixed(4) }),
        ...(p.top1 === undefined ? {} : { top1: `${p.top1.toFixed(2)} %` }),
        ...(seconds > 0.5 ? { 'images/s': Math.round((p.done - Math.min(p.done, plan.batch)) / seconds) } : {}),
      },
    });
  };
  try {
    const result = await fit(model.graph, {
      engine: engineOf(context),
      data: train,
      ...(validation ? { validation } : {}),
      trains,
      optimizer: adam({ weightDecay: plan.weightDecay }),
      schedule,
      epochs: plan.epochs,
      batch: plan.batch,
      seed: plan.seed,
      views,
      store: storeFor(data.train, plan, preprocess, views),
      ...(checkpoint ? { checkpoint } : {}),
      fingerprint: fingerprintOf(model, plan, data.train),
      ...(plan.patience === undefined ? {} : { patience: plan.patience }),
      onProgress,
      onEpoch: async (epoch) => {
        await pending;
        await record(stepNow, {
          epoch: epoch.epoch,
          'epoch/trainLoss': epoch.trainLoss,
          'epoch/trainTop1': epoch.trainTop1,
          ...(epoch.validationLoss === undefined ? {} : { 'epoch/validationLoss': epoch.validationLoss }),
          ...(epoch.validationTop1 === undefined ? {} : { 'epoch/validationTop1': epoch.validationTop1 }),
        });
      },
      ...(context.signal ? { signal: context.signal } : {}),
    });
    await pending;
    const trained = [...result.graph.initializers]
      .filter(([value]) => trains(value.name))
      .reduce((sum, [, tensor]) => sum + (byteSize(tensor) > 0 ? sizeOf(tensor.dims) : 0), 0);
    return {
      model: { ...model, graph: result.graph },
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
    await events?.close();
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
  const { model: trained, report } = await finetuneModel(
    model,
    { train, ...(validation ? { validation } : {}) },
    plan,
    { work: { folder, ...(options.resume ? { resume: true } : {}) } },
    context,
  );
  await train.source.close?.();
  await validation?.source.close?.();
  // An interrupted training is in its checkpoint; a model file is written when it is done.
  if (report.interrupted) return { ...report, output: null, work: folder };
  const output = options.output ?? defaultOutput(file, 'finetuned');
  await mkdir(dirname(output), { recursive: true });
  await saveModel(trained, output);
  return { ...report, output, work: folder };
}
