import { formatWaitField, getEngine, type RunContext } from '../context/run-context.js';
import { loadBatches } from '../data/batches.js';
import type { Graph } from '../graph/model.js';
import { openImageLoader } from '../images/image-pool.js';
import { type Dataset, requireLabels, requirePreprocess } from '../images/open-dataset.js';
import type { LoadedModel } from '../io/models/model-file.js';
import {
  type Accuracy,
  type AccuracyCounts,
  addCounts,
  computeAccuracy,
  computeLogProbabilities,
  countAccuracy,
  NO_IMAGES,
} from '../metrics/accuracy.js';
import { addPredictions, NO_PREDICTIONS } from '../metrics/prediction-stats.js';
import { findScores, type LabelKind, type OutputKind } from '../ops/scores/scores.js';
import { cutToScores } from '../passes/scores-graph.js';
import type { Tensor } from '../tensor/tensor.js';
import { defined } from '../values.js';
import { warnIfLikeChance } from './chance-warning.js';
import { type LabelMap, mapLabels } from './label-map.js';
import { runImages } from './run-images.js';

/** How well a model does on a data set, and how fast. */
export interface Evaluation extends Accuracy {
  /** What the model's scores are, and how their classes belong together. */
  readonly scores: { readonly kind: OutputKind; readonly labels: LabelKind };
  /** The part of the data set that was measured, such as `test`; `null` where it has none. */
  readonly part: string | null;
  /** Where only some of the images were drawn (`limit`): of how many, and by which seed. */
  readonly sample: NonNullable<Dataset['sample']> | null;
  /** How the data set's classes were found among the model's: by position, by name, or by folders called by numbers. */
  readonly labelsBy: LabelMap['by'];
  /** Images that could not be read, and why. */
  readonly skipped: readonly { readonly path: string; readonly reason: string }[];
  readonly seconds: number;
  readonly imagesPerSecond: number;
  /** How long the engine had nothing to do because images were not there yet: seconds, and their share (0…1). */
  readonly waiting: { readonly seconds: number; readonly share: number };
  /** Threads beside the main one that loaded images. */
  readonly workers: number;
}

/** What a model said of one batch. */
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

/** Runs a model over a data set batch by batch. Corrupt images are skipped and told of through `onBad`. */
export async function* scoreBatches(
  model: LoadedModel,
  dataset: Dataset,
  options: {
    readonly batch: number;
    readonly indices?: readonly number[];
    onBad(bad: { path: string; reason: string }): void;
    /** Told for each batch how long it was waited for, and by how many threads it was loaded. */
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

/** Evaluates a loaded model on an opened data set. */
export async function evaluateModel(
  model: { readonly graph: Graph } & LoadedModel,
  dataset: Dataset,
  options: { readonly batch?: number } = {},
  context: RunContext = {},
): Promise<Evaluation> {
  requireLabels(dataset, 'there is no accuracy to measure; explain, compare and compress take such images');
  const { warning, by: labelsBy } = mapLabels(model, dataset.source);
  const { kind, labels: kindOfLabels, classes } = findScores(model.graph, model.info);
  if (kindOfLabels === 'multi-label') {
    context.onNote?.(
      `Each of the ${classes} classes has a probability of its own (sigmoid): the class of the highest is the prediction, and the negative log-likelihood is the sum of ${classes} binary cross entropies, the label being right and the others wrong.`,
    );
  }
  if (warning) context.onWarning?.(warning);
  const total = dataset.source.items.length;
  const skipped: { path: string; reason: string }[] = [];
  let counts: AccuracyCounts = NO_IMAGES;
  let predictions = NO_PREDICTIONS;
  let waited = 0;
  let threads = 0;
  const start = performance.now();
  const getElapsedSeconds = () => (performance.now() - start) / 1000;
  const onWait = (seconds: number, workers: number) => {
    waited += seconds;
    threads = workers;
  };
  const onBad = (bad: { path: string; reason: string }) => {
    skipped.push(bad);
    context.onWarning?.(`skipped ${bad.path}: ${bad.reason}`);
  };
  for await (const { logProbabilities, labels, labelKind } of scoreBatches(
    model,
    dataset,
    { batch: options.batch ?? 64, onBad, onWait },
    context,
  )) {
    counts = addCounts(counts, countAccuracy(logProbabilities, labels, labelKind));
    predictions = addPredictions(predictions, logProbabilities, labels);
    const { top1 } = computeAccuracy(counts);
    context.onProgress?.({
      phase: 'evaluate',
      done: counts.images + skipped.length,
      total,
      fields: { top1: `${top1.toFixed(2)} %`, ...formatWaitField(waited / getElapsedSeconds()) },
    });
  }
  const seconds = getElapsedSeconds();
  warnIfLikeChance(predictions, model, context);
  return {
    ...computeAccuracy(counts),
    scores: { kind, labels: kindOfLabels },
    part: dataset.source.part ?? null,
    sample: dataset.sample ?? null,
    labelsBy,
    skipped,
    seconds,
    imagesPerSecond: counts.images / seconds,
    waiting: { seconds: waited, share: waited / seconds },
    workers: threads,
  };
}
