import type { RunContext } from '../context/run-context.js';
import { getItem, isLabelled } from '../data/image-items.js';
import { ShiboriError } from '../errors.js';
import type { Dataset } from '../images/open-dataset.js';
import type { LoadedModel } from '../io/models/model-file.js';
import {
  type Accuracy,
  addCounts,
  computeAccuracy,
  computePredictedClasses,
  countAccuracy,
  NO_IMAGES,
} from '../metrics/accuracy.js';
import {
  addPredictions,
  findPredictionProblem,
  NO_PREDICTIONS,
  type PredictionStats,
} from '../metrics/prediction-stats.js';
import type { Comparison, Flip } from '../report/comparison.js';
import { defined } from '../values.js';
import { warnIfLikeChance } from './chance-warning.js';
import { formatPreprocess } from './collect-provenance.js';
import { scoreBatches } from './evaluate-model.js';
import { mapLabels } from './label-map.js';

/** The two models that are compared, and what to call them. */
export interface ComparedModels {
  readonly before: LoadedModel;
  readonly after: LoadedModel;
  readonly names: { readonly before: string; readonly after: string };
}

/** What is kept of the first model's prediction for an image. */
interface Prediction {
  readonly predicted: number;
  readonly probability: number;
}

interface MeasuredPredictions {
  /** None for images without labels. */
  readonly accuracy: Accuracy | undefined;
  readonly stats: PredictionStats;
}

/** Runs a model over the data set, and hands each prediction on. */
async function evaluateOne(
  model: LoadedModel,
  dataset: Dataset,
  options: { readonly batch: number; readonly phase: string; readonly isFirst: boolean },
  context: RunContext,
  onImage: (image: { index: number; label: number; predicted: number; row: Float32Array }) => void,
): Promise<MeasuredPredictions> {
  const { batch, phase, isFirst } = options;
  const total = dataset.source.items.length;
  let counts = NO_IMAGES;
  let stats = NO_PREDICTIONS;
  let done = 0;
  const labelled = isLabelled(dataset.source);
  const onBad = ({ path, reason }: { path: string; reason: string }) => {
    done++;
    if (isFirst) context.onWarning?.(`skipped ${path}: ${reason}`);
  };
  for await (const { logProbabilities, labels, labelKind, indices } of scoreBatches(
    model,
    dataset,
    { batch, onBad },
    context,
  )) {
    done += labels.length;
    if (labelled) counts = addCounts(counts, countAccuracy(logProbabilities, labels, labelKind));
    stats = addPredictions(stats, logProbabilities, labelled ? labels : undefined);
    const [, classes = 0] = logProbabilities.dims;
    for (const [i, predicted] of computePredictedClasses(logProbabilities).entries()) {
      const row = logProbabilities.data.subarray(i * classes, (i + 1) * classes);
      onImage({ index: indices[i] as number, label: labels[i] as number, predicted, row });
    }
    const fields = labelled ? { top1: `${computeAccuracy(counts).top1.toFixed(2)} %` } : {};
    context.onProgress?.({ phase, done, total, fields });
  }
  if (stats.images === 0)
    throw new ShiboriError(`Comparing on "${dataset.source.name}": no image could be read.`, { code: 'invalid-data' });
  return { accuracy: labelled ? computeAccuracy(counts) : undefined, stats };
}

/** Warns of what speaks against believing the accuracies; returns why the first model's says nothing, if it does not. */
function findAccuracyProblem(
  { before, after, names }: ComparedModels,
  dataset: Dataset,
  [first, second]: readonly [PredictionStats, PredictionStats],
  context: RunContext,
): string | undefined {
  const warnings = [before, after].map((model) => mapLabels(model, dataset.source).warning);
  for (const warning of new Set(warnings)) if (warning !== undefined) context.onWarning?.(warning);
  const problem = findPredictionProblem(first);
  const secondProblem = findPredictionProblem(second);
  if (problem !== undefined) warnIfLikeChance(first, before, context);
  else if (secondProblem !== undefined) {
    context.onWarning?.(
      `${names.after}: ${secondProblem}, which is not so for ${names.before}. Either the second model is damaged, or it wants its images in another form than ${formatPreprocess(after)}`,
    );
  }
  if (warnings[0] !== undefined) return 'the classes of the data set were not found among those of the model';
  return problem && `${problem[0]?.toLowerCase()}${problem.slice(1)}`;
}

/** Evaluates both models, and finds the images whose prediction changed. */
export async function comparePredictions(
  models: ComparedModels,
  dataset: Dataset,
  classNames: readonly string[],
  batch: number,
  context: RunContext,
): Promise<Pick<Comparison, 'accuracy' | 'predictions' | 'flips'>> {
  const labelled = isLabelled(dataset.source);
  const firsts = new Map<number, Prediction>();
  const flips: Flip[] = [];
  let same = 0;
  const getClassName = (output: number) => classNames[output] ?? String(output);
  const before = await evaluateOne(
    models.before,
    dataset,
    { batch, phase: 'evaluate before', isFirst: true },
    context,
    ({ index, predicted, row }) => firsts.set(index, { predicted, probability: Math.exp(row[predicted] as number) }),
  );
  const after = await evaluateOne(
    models.after,
    dataset,
    { batch, phase: 'evaluate after', isFirst: false },
    context,
    ({ index, label, predicted, row }) => {
      const first = firsts.get(index);
      if (first === undefined) return;
      if (first.predicted === predicted) {
        same++;
        return;
      }
      flips.push({
        file: getItem(dataset.source, index).path,
        ...(labelled ? { label, labelName: getClassName(label) } : {}),
        before: first.predicted,
        beforeName: getClassName(first.predicted),
        after: predicted,
        afterName: getClassName(predicted),
        probability: { before: first.probability, after: Math.exp(row[first.predicted] as number) },
      });
    },
  );
  const problem = findAccuracyProblem(models, dataset, [before.stats, after.stats], context);
  const { images } = after.stats;
  const lost = flips.filter((flip) => flip.before === flip.label).length;
  const gained = flips.filter((flip) => flip.after === flip.label).length;
  const computeProbabilityLoss = ({ probability }: Flip) => probability.before - probability.after;
  return {
    ...(before.accuracy && after.accuracy
      ? {
          accuracy: {
            before: before.accuracy,
            after: after.accuracy,
            top1Drop: before.accuracy.top1 - after.accuracy.top1,
            ...defined({ doubt: problem }),
          },
        }
      : {}),
    predictions: {
      images,
      same,
      agreement: (100 * same) / images,
      ...(labelled ? { changed: { lost, gained, wrong: flips.length - lost - gained } } : {}),
    },
    flips: flips.sort((a, b) => computeProbabilityLoss(b) - computeProbabilityLoss(a)),
  };
}
