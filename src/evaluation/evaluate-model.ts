import type { RunContext } from '../context/run-context.js';
import { type Dataset, requireLabels } from '../images/open-dataset.js';
import type { LoadedModel } from '../io/models/model-file.js';
import { type Accuracy, computeAccuracy, NO_IMAGES } from '../metrics/accuracy.js';
import { findScores, type LabelKind, type OutputKind } from '../ops/scores/scores.js';
import { warnIfLikeChance } from './chance-warning.js';
import { evaluatePredictions } from './evaluator.js';
import { type LabelMap, mapLabels } from './label-map.js';

/** Holds the accuracy of a model on a data set, and its speed. */
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
  /** Threads other than the main one that loaded images. */
  readonly workers: number;
}

/** Evaluates a loaded model on an opened data set. */
export async function evaluateModel(
  model: LoadedModel,
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
  const run = await evaluatePredictions(model, dataset, { phase: 'evaluate', ...options }, context);
  const { counts = NO_IMAGES, images, stats, skipped, seconds, waitedSeconds, workers } = run;
  warnIfLikeChance(stats, model, context);
  return {
    ...computeAccuracy(counts),
    scores: { kind, labels: kindOfLabels },
    part: dataset.source.part ?? null,
    sample: dataset.sample ?? null,
    labelsBy,
    skipped,
    seconds,
    imagesPerSecond: images / seconds,
    waiting: { seconds: waitedSeconds, share: waitedSeconds / seconds },
    workers,
  };
}
