/**
 * Trains the parameters of a classifier's graph that a pattern picks, everything else frozen.
 *
 * The graph is split where the first trained parameter acts. The frozen prefix runs once for each image and view and is
 * kept; a step is one run of a graph that holds forward, loss and gradients of the suffix, and one optimizer update in
 * place. Everything random is drawn from streams keyed by (seed, epoch or step), so that a training that was interrupted
 * continues to the same result, bit for bit.
 */

import type { Engine } from '../engine/engine.js';
import { UsageError } from '../errors.js';
import { findFixedBatch } from '../graph/batch.js';
import type { Graph } from '../graph/model.js';
import { listParameters } from '../graph/parameters.js';
import { splitFrozenPrefix } from '../passes/frozen-prefix.js';
import { withScoresAlone } from '../passes/scores-graph.js';
import { defined } from '../values.js';
import type { MeasuredEpoch, ValidationResult } from './best-weights.js';
import { type Distillation, listComparedValues } from './distillation.js';
import { createMemoryStore, type FeatureStore } from './features-in-memory.js';
import type { Schedule } from './schedules.js';
import { findInitializers } from './step-graph.js';
import type { StepSettings } from './step-settings.js';
import { type FitProgress, Trainer } from './trainer.js';
import type { TrainingData } from './training-data.js';
import { createCachedFeatures, createImageFeatures } from './training-features.js';
import type { CheckpointStore, EpochRecord } from './training-state.js';
import { computeWeightsDigest, createWeights, withWeights } from './weights.js';

export type { FitProgress } from './trainer.js';

/** What `fit` needs to know. */
export interface FitOptions extends Omit<StepSettings, 'seed'> {
  readonly engine: Engine;
  readonly data: TrainingData;
  /** Measured after each epoch. Its images are asked for in view 0. */
  readonly validation?: TrainingData;
  /** Which parameters are trained, by name. */
  readonly trains: (parameter: string) => boolean;
  /** Learning rate of each step. */
  readonly schedule: Schedule;
  readonly epochs: number;
  /** Images computed at once, 2 or more. Default: 64. */
  readonly batch?: number;
  /**
   * Batches whose gradients make one step, weighted by their images: without batch normalisations so many small batches
   * are one large one. Default: 1.
   */
  readonly accumulate?: number;
  /** Default: 42. */
  readonly seed?: number;
  /**
   * How many views of each image are kept where a prefix is frozen; epoch e trains on view e mod views. Default: 1.
   * Where nothing is frozen nothing is kept, and epoch e trains on view e.
   */
  readonly views?: number;
  /** Where the frozen prefix's outputs are kept. Default: memory. Called with the number of elements of one image. */
  readonly store?: (elements: number, prefix: Graph) => FeatureStore;
  /** The same for the validation images, view 0 only. */
  readonly validationStore?: (elements: number, prefix: Graph) => FeatureStore;
  /** A training that is found there is resumed. */
  readonly checkpoint?: CheckpointStore;
  /** Seconds between checkpoints; one is written after each epoch, too. Default: 30. */
  readonly checkpointSeconds?: number;
  /**
   * What makes this training different from another, apart from the model's numbers, the trained names and the options that
   * are numbers or names, which are compared anyway: a checkpoint of another training is refused.
   */
  readonly fingerprint?: string;
  /** Stops when the validation loss has not got better for so many epochs. */
  readonly patience?: number;
  /**
   * Which weights are the result: those of the best epoch by validation top-1 (equal ones: by loss), with the model before
   * the training as epoch 0, or those of the last epoch. Default: `best`; without validation images the last.
   */
  readonly keep?: 'best' | 'last';
  /**
   * What the model measures on the validation images before the training, where that is known; `skip`: it is not measured
   * and not kept, as for fresh parameters. Default: it is measured.
   */
  readonly before?: ValidationResult | 'skip';
  /** Called with what the model measures before the training. */
  readonly onBefore?: (measured: ValidationResult) => void | Promise<void>;
  /** Called after each step, and as features and validation proceed. */
  readonly onProgress?: (progress: FitProgress) => void;
  /** Called after each epoch, before its checkpoint is written. */
  readonly onEpoch?: (record: EpochRecord) => void | Promise<void>;
  /** Ends the training after the step at hand, with a checkpoint saved. */
  readonly signal?: AbortSignal;
}

/** What came out of a training. */
export interface FitResult {
  /** The given graph, its trained parameters and running statistics replaced. */
  readonly graph: Graph;
  readonly history: readonly EpochRecord[];
  /** What the model measured before the training; `undefined` without validation images or where it was skipped. */
  readonly before?: ValidationResult;
  /** The epoch that is best on the validation images, 0 for the model before the training; `graph` is this one unless the last is kept. */
  readonly best?: MeasuredEpoch;
  /** Steps done. */
  readonly steps: number;
  /** Whether the signal ended it; a checkpoint was saved if there is a place for it. */
  readonly interrupted: boolean;
  /** Elements of the cached features of one image; the input's where nothing is frozen. */
  readonly featureElements: number;
}

/** What tells one distillation from another. */
function computeFingerprint({ teacher, labels, layer, features, maps }: Distillation): object {
  return { teacher: computeWeightsDigest(teacher), labels, layer, features, maps: maps?.weight };
}

/** Numbers of a training that must lie between others. */
function checkSettings({ labelSmoothing = 0, averaging, clip }: FitOptions): void {
  const ranges: readonly (readonly [name: string, found: number, good: boolean, expected: string])[] = [
    ['label smoothing', labelSmoothing, labelSmoothing >= 0 && labelSmoothing < 1, 'at least 0 and below 1'],
    ...(averaging
      ? [
          [
            'the decay of averages',
            averaging.decay,
            averaging.decay >= 0 && averaging.decay < 1,
            'at least 0 and below 1',
          ] as const,
        ]
      : []),
    ...[clip?.norm, clip?.value].flatMap((bound) =>
      bound === undefined ? [] : [['a bound of gradients', bound, bound > 0, 'above 0'] as const],
    ),
  ];
  for (const [name, found, good, expected] of ranges) {
    if (!good) throw new UsageError(`Training: ${name} must be ${expected}, found ${found}.`);
  }
}

/** Numbers of a training that must be whole and not too small. */
function checkCounts(counts: Readonly<Record<string, readonly [found: number, least: number]>>): void {
  for (const [name, [found, least]] of Object.entries(counts)) {
    if (Number.isInteger(found) && found >= least) continue;
    throw new UsageError(`Training: ${name} must be a whole number of at least ${least}, found ${found}.`);
  }
}

/**
 * Trains a classifier.
 *
 * @param whole inference graph, input `[N, C, H, W]` with fixed C, H, W, its scores the first output. What only other outputs
 *   need stays as it is. Where its batch is fixed to `options.batch`, every batch is full: what is left over of an epoch is
 *   not trained on.
 * @throws ShiboriError when nothing is trained, when the checkpoint belongs to another training, and when the loss or a
 *   gradient is no longer finite: the last good checkpoint is kept, and the message says which step it was.
 * @throws UsageError for fewer than two images, and for counts that are none.
 */
export async function fit(whole: Graph, options: FitOptions): Promise<FitResult> {
  const graph = withScoresAlone(whole);
  const { engine, data, validation, trains, optimizer, batch = 64, accumulate = 1, seed = 42, views = 1 } = options;
  // Any other graph is bound to the batch of the training, whatever its own is.
  const fixed = findFixedBatch(graph) === batch ? batch : undefined;
  checkCounts({
    'the number of images': [data.count, fixed ?? 2],
    epochs: [options.epochs, 1],
    'the batch size': [batch, fixed === undefined ? 2 : 1],
    'the number of batches a step': [accumulate, 1],
    views: [views, 1],
    patience: [options.patience ?? 1, 1],
  });
  checkSettings(options);
  const names = new Set(
    listParameters(graph).flatMap(({ name, kind }) => (kind === 'parameter' && trains(name) ? [name] : [])),
  );
  const { distillation } = options;
  const trained = new Set(findInitializers(graph, names));
  const split = splitFrozenPrefix(graph, trained, listComparedValues(graph, distillation));
  // Values inside of a graph of a fixed batch may hold several images in one row: they are not cached image by image.
  const {
    prefix,
    suffix,
    elementsPerImage: elements,
  } = fixed === undefined ? split : { ...split, prefix: undefined, suffix: graph };
  const createFeatures = (images: TrainingData, open: FitOptions['store'], count: number) =>
    prefix
      ? createCachedFeatures(
          engine,
          images,
          prefix,
          open?.(elements, prefix) ?? createMemoryStore(images.count, elements),
          count,
        )
      : createImageFeatures(images);
  const features = createFeatures(data, options.store, views);
  const validationFeatures = validation && createFeatures(validation, options.validationStore, 1);
  const fingerprint = JSON.stringify([
    options.fingerprint,
    {
      model: computeWeightsDigest(whole),
      trained: [...names].sort(),
      count: data.count,
      batch,
      accumulate,
      seed,
      views,
      optimizer: optimizer.name,
      clip: options.clip,
      labelSmoothing: options.labelSmoothing,
      averaging: options.averaging,
      batchNorm: options.batchNorm,
      dropout: options.dropout,
      keep: options.keep,
      ...(distillation ? { distillation: computeFingerprint(distillation) } : {}),
    },
  ]);
  const weights = createWeights(suffix, names, optimizer, options.averaging !== undefined);
  const trainer = new Trainer(suffix, weights, features, validationFeatures, {
    ...options,
    batch,
    accumulate,
    seed,
    fingerprint,
    keep: options.keep ?? 'best',
    checkpointSeconds: options.checkpointSeconds ?? 30,
  });
  try {
    const finished = await trainer.run();
    return {
      graph: withWeights(whole, trainer.collectResults(finished)),
      history: trainer.progress.history,
      ...defined({ before: trainer.progress.before, best: trainer.progress.kept }),
      steps: trainer.progress.step,
      interrupted: !finished,
      featureElements: elements,
    };
  } finally {
    await trainer.dispose();
    await features.dispose();
    await validationFeatures?.dispose();
  }
}
