/** The one loop that runs a model over a data set: for evaluate, compare, compress and sweep. */

import { formatWaitField, getEngine, type RunContext } from '../context/run-context.js';
import { loadBatches } from '../data/batches.js';
import { isLabelled } from '../data/image-items.js';
import { openImageLoader } from '../images/image-pool.js';
import { type Dataset, requirePreprocess } from '../images/open-dataset.js';
import type { LoadedModel } from '../io/models/model-file.js';
import {
  type AccuracyCounts,
  addCounts,
  computeAccuracy,
  computeLogProbabilities,
  countAccuracy,
  NO_IMAGES,
} from '../metrics/accuracy.js';
import { addPredictions, NO_PREDICTIONS, type PredictionStats } from '../metrics/prediction-stats.js';
import { findScores, type LabelKind } from '../ops/scores/scores.js';
import { cutToScores } from '../passes/scores-graph.js';
import type { Tensor } from '../tensor/tensor.js';
import { defined } from '../values.js';
import { mapLabels } from './label-map.js';
import { runImages } from './run-images.js';

/** Images that a model runs for at a time by default. */
export const DEFAULT_BATCH = 64;

/** Holds what a model predicts for one batch. */
export interface ScoredBatch {
  /** Positions in the data set. */
  readonly indices: readonly number[];
  /** The output that is right for each image. */
  readonly labels: Int32Array;
  readonly images: Tensor<'float32'>;
  /** `[n, classes]`. */
  readonly logProbabilities: Tensor<'float32'>;
  /** How the classes belong together. */
  readonly labelKind: LabelKind;
}

/** Runs a model over a data set batch by batch. Images that cannot be read are skipped and reported through `onBad`. */
export async function* scoreBatches(
  model: LoadedModel,
  dataset: Dataset,
  options: {
    readonly batch: number;
    readonly indices?: readonly number[];
    onBad(bad: { path: string; reason: string }): void;
    /** Called for each batch with the time that the engine waited for it, and the threads that loaded it. */
    onWait?(seconds: number, workers: number): void;
  },
  context: RunContext,
): AsyncGenerator<ScoredBatch> {
  const { graph } = model;
  const scores = findScores(graph, model.info);
  const measured = cutToScores(graph, scores);
  const recipe = { preprocess: requirePreprocess(graph, model.info), augmentation: undefined, seed: 0 };
  const session = await getEngine(context).load(measured);
  const { outputs } = mapLabels(model, dataset.source);
  const loader = openImageLoader(dataset, recipe, context.workers);
  try {
    const loaded = loadBatches(dataset.source, loader, {
      batchSize: options.batch,
      onBad: options.onBad,
      onWait: (seconds) => options.onWait?.(seconds, loader.workers),
      ...defined({ indices: options.indices }),
    });
    for await (const { images, labels, indices } of loaded) {
      context.signal?.throwIfAborted();
      const found = await runImages(session, measured, images);
      yield {
        indices,
        labels: labels.map((label) => outputs[label] ?? label),
        images,
        logProbabilities: computeLogProbabilities(found, { kind: scores.source.kind, labels: scores.labels }),
        labelKind: scores.labels,
      };
    }
  } finally {
    await loader.close();
    await session.dispose();
  }
}

/** Holds the sums over all predictions of a model on a data set. */
export interface EvaluatedPredictions {
  /** Images that were read. */
  readonly images: number;
  /** Counts of right predictions; `undefined` where the images have no labels. */
  readonly counts: AccuracyCounts | undefined;
  readonly stats: PredictionStats;
  /** Images that could not be read, and why. */
  readonly skipped: readonly { readonly path: string; readonly reason: string }[];
  readonly seconds: number;
  /** Seconds in which the engine waited for images. */
  readonly waitedSeconds: number;
  /** Threads that loaded images. */
  readonly workers: number;
}

/** Lists the options of {@link evaluatePredictions}. */
export interface EvaluatePredictionsOptions {
  /** Name of the phase that progress is reported under. */
  readonly phase: string;
  /** Images at a time. Default: 64. */
  readonly batch?: number;
  /** Whether a warning is given for each image that cannot be read. Default: true; false where an earlier run gave it. */
  readonly warnsOfSkipped?: boolean;
  /** Called with each batch, in the order of the data set. */
  onBatch?(batch: ScoredBatch): void;
}

/**
 * Runs a model over a data set and counts its predictions; reports progress with the top-1 so far in percent and the share
 * of the time that the engine waited for images.
 */
export async function evaluatePredictions(
  model: LoadedModel,
  dataset: Dataset,
  options: EvaluatePredictionsOptions,
  context: RunContext,
): Promise<EvaluatedPredictions> {
  const { phase, batch = DEFAULT_BATCH, warnsOfSkipped = true } = options;
  const total = dataset.source.items.length;
  const labelled = isLabelled(dataset.source);
  const skipped: { path: string; reason: string }[] = [];
  let counts = NO_IMAGES;
  let stats = NO_PREDICTIONS;
  let waitedSeconds = 0;
  let workers = 0;
  const start = performance.now();
  const getElapsedSeconds = () => (performance.now() - start) / 1000;
  const onWait = (seconds: number, threads: number) => {
    waitedSeconds += seconds;
    workers = threads;
  };
  const onBad = (bad: { path: string; reason: string }) => {
    skipped.push(bad);
    if (warnsOfSkipped) context.onWarning?.(`skipped ${bad.path}: ${bad.reason}`);
  };
  for await (const scored of scoreBatches(model, dataset, { batch, onBad, onWait }, context)) {
    const { logProbabilities, labels, labelKind } = scored;
    if (labelled) counts = addCounts(counts, countAccuracy(logProbabilities, labels, labelKind));
    stats = addPredictions(stats, logProbabilities, labelled ? labels : undefined);
    options.onBatch?.(scored);
    const top1 = labelled ? { top1: `${computeAccuracy(counts).top1.toFixed(2)} %` } : {};
    const fields = { ...top1, ...formatWaitField(waitedSeconds / getElapsedSeconds()) };
    context.onProgress?.({ phase, done: stats.images + skipped.length, total, fields });
  }
  return {
    images: stats.images,
    counts: labelled ? counts : undefined,
    stats,
    skipped,
    seconds: getElapsedSeconds(),
    waitedSeconds,
    workers,
  };
}
