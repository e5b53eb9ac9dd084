import type { RunContext } from '../context/run-context.js';
import { getItem, isLabelled } from '../data/image-items.js';
import { ShiboriError } from '../errors.js';
import type { Dataset } from '../images/open-dataset.js';
import type { LoadedModel } from '../io/models/model-file.js';
import { computeAccuracy, computePredictedClasses } from '../metrics/accuracy.js';
import { findPredictionProblem, type PredictionStats } from '../metrics/prediction-stats.js';
import type { Comparison, Flip } from '../report/comparison.js';
import { at, defined } from '../values.js';
import { warnIfLikeChance } from './chance-warning.js';
import { formatPreprocess } from './collect-provenance.js';
import {
  type EvaluatedPredictions,
  type EvaluatePredictionsOptions,
  evaluatePredictions,
  type ScoredBatch,
} from './evaluator.js';
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

/** Runs a model over the data set, and calls `onImage` with the prediction for each image. */
async function evaluateImages(
  model: LoadedModel,
  dataset: Dataset,
  options: EvaluatePredictionsOptions & {
    onImage(image: { index: number; label: number; predicted: number; row: Float32Array }): void;
  },
  context: RunContext,
): Promise<EvaluatedPredictions> {
  const onBatch = ({ logProbabilities, labels, indices }: ScoredBatch) => {
    const classes = Number(logProbabilities.dims[1]);
    for (const [i, predicted] of computePredictedClasses(logProbabilities).entries()) {
      const row = logProbabilities.data.subarray(i * classes, (i + 1) * classes);
      options.onImage({ index: at(indices, i), label: at(labels, i), predicted, row });
    }
  };
  const found = await evaluatePredictions(model, dataset, { ...options, onBatch }, context);
  if (found.images > 0) return found;
  throw new ShiboriError(`Comparing on "${dataset.source.name}": no image could be read.`, { code: 'invalid-data' });
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
  const before = await evaluateImages(
    models.before,
    dataset,
    {
      batch,
      phase: 'evaluate before',
      onImage: ({ index, predicted, row }) =>
        firsts.set(index, { predicted, probability: Math.exp(at(row, predicted)) }),
    },
    context,
  );
  const after = await evaluateImages(
    models.after,
    dataset,
    {
      batch,
      phase: 'evaluate after',
      warnsOfSkipped: false,
      onImage: ({ index, label, predicted, row }) => {
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
          probability: { before: first.probability, after: Math.exp(at(row, first.predicted)) },
        });
      },
    },
    context,
  );
  const accuracies = before.counts &&
    after.counts && { before: computeAccuracy(before.counts), after: computeAccuracy(after.counts) };
  const problem = findAccuracyProblem(models, dataset, [before.stats, after.stats], context);
  const { images } = after.stats;
  const lost = flips.filter((flip) => flip.before === flip.label).length;
  const gained = flips.filter((flip) => flip.after === flip.label).length;
  const computeProbabilityLoss = ({ probability }: Flip) => probability.before - probability.after;
  return {
    ...(accuracies
      ? {
          accuracy: {
            ...accuracies,
            top1Drop: accuracies.before.top1 - accuracies.after.top1,
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
