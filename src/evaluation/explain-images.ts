/** Explained images: what `explain` and `compare` find out of decoded images. */

import { getEngine, type RunContext } from '../context/run-context.js';
import type { RgbImage } from '../data/image.js';
import { fitImage, toTensor } from '../data/preprocess.js';
import { type Explanation, gradCam } from '../explain/grad-cam.js';
import { requirePreprocess } from '../images/open-dataset.js';
import type { LoadedModel } from '../io/models/model-file.js';
import { computeLogProbabilities } from '../metrics/accuracy.js';
import { isConstantMap } from '../metrics/pearson.js';
import { addPredictions, NO_PREDICTIONS, type PredictionStats } from '../metrics/prediction-stats.js';
import type { ScoreChoice } from '../ops/scores/append.js';
import type { OutputKind, Scores } from '../ops/scores/scores.js';
import { float32, type Tensor } from '../tensor/tensor.js';

/** Images explained at a time. */
const EXPLAIN_BATCH = 64;

/** How many of the most probable classes are reported for each image. */
const TOP_CLASSES = 5;

/** A probability nearer to 1 than this has lost most digits of its own gradient in float32. */
const SATURATED = 1e-5;

/** One class of an image. */
export interface ScoredClass {
  readonly index: number;
  readonly name: string;
  /** 0…1 */
  readonly probability: number;
}

/** One explained image. */
export interface ExplainedImage {
  readonly file: string;
  /** Class index with the highest score, and what it is called. */
  readonly predicted: number;
  readonly predictedName: string;
  /** Of the predicted class; `null` for a regression. */
  readonly probability: number | null;
  /** Class index that the map explains, its name and probability. */
  readonly target: number;
  readonly targetName: string;
  readonly targetProbability: number | null;
  /** The score that the map explains: a logit, a log-probability or a probability. */
  readonly targetScore: number;
  /** The most probable classes, at most 5; empty for a regression. */
  readonly top: readonly ScoredClass[];
  /** Whether the map is zero everywhere: nothing at this layer speaks for the class. */
  readonly isZero: boolean;
  /** Whether the score is a probability, or its logarithm, so near to 1 that it leaves no gradient to explain. */
  readonly isSaturated: boolean;
  /** `[H, W]` at the input's size. */
  readonly map: Tensor<'float32'>;
  /** The image as the model saw it, before normalisation. */
  readonly image: RgbImage;
}

/** Explained images, and how they were explained. */
export interface ExplainedImages {
  readonly layer: string;
  readonly scores: Scores;
  /** What the maps explain. */
  readonly explained: OutputKind;
  readonly images: readonly ExplainedImage[];
  readonly predictions: PredictionStats;
}

/** Explains decoded images with Grad-CAM, many at a time. */
export async function explainImages(
  model: LoadedModel,
  images: readonly { readonly file: string; readonly image: RgbImage; readonly target?: number }[],
  options: { readonly layer?: string; readonly score?: ScoreChoice | undefined; readonly names: readonly string[] },
  context: RunContext = {},
): Promise<ExplainedImages> {
  const preprocess = requirePreprocess(model.graph, model.info);
  const { layer, score, names } = options;
  const explainer = await gradCam(getEngine(context), model.graph, { layer, score, task: model.info.task });
  for (const note of explainer.notes) context.onNote?.(note);
  const { scores: described, explainedKind: kind } = explainer;
  const found: ExplainedImage[] = [];
  let predictions = NO_PREDICTIONS;
  try {
    for (let start = 0; start < images.length; start += EXPLAIN_BATCH) {
      context.signal?.throwIfAborted();
      const batch = images
        .slice(start, start + EXPLAIN_BATCH)
        .map((entry) => ({ ...entry, image: fitImage(entry.image, preprocess) }));
      const tensor = toTensor(
        batch.map(({ image }) => image),
        preprocess,
      );
      const results = await explainer.explain(
        tensor,
        batch.map(({ target }) => target),
      );
      for (const [i, result] of results.entries()) {
        const entry = batch[i];
        const log = computeImageLogProbabilities(result, described);
        if (log) predictions = addPredictions(predictions, log);
        if (entry) found.push(describeExplanation(entry, result, log?.data, kind, names));
      }
      context.onProgress?.({ phase: 'explain', done: found.length, total: images.length });
    }
  } finally {
    await explainer.dispose();
  }
  return { layer: explainer.layer, scores: described, explained: kind, images: found, predictions };
}

/** Log-probabilities of one image `[1, classes]`; none for a regression. */
function computeImageLogProbabilities(
  { source }: Explanation,
  { labels, source: { kind } }: Scores,
): Tensor<'float32'> | undefined {
  return labels === 'none' ? undefined : computeLogProbabilities(float32(source, [1, source.length]), { kind, labels });
}

function describeExplanation(
  entry: { readonly file: string; readonly image: RgbImage },
  { predicted, target, scores, map }: Explanation,
  log: Float32Array | undefined,
  kind: OutputKind,
  names: readonly string[],
): ExplainedImage {
  const scored = Array.from(
    log ?? [],
    (value, index): ScoredClass => ({
      index,
      name: names[index] ?? '',
      probability: Math.exp(value),
    }),
  );
  const best = scored.reduce((first, each) => (each.probability > first.probability ? each : first), {
    index: predicted,
    probability: Number.NEGATIVE_INFINITY,
  });
  const targetProbability = scored[target]?.probability ?? null;
  return {
    file: entry.file,
    predicted: log ? best.index : predicted,
    predictedName: names[best.index] ?? '',
    probability: scored[best.index]?.probability ?? null,
    target,
    targetName: names[target] ?? '',
    targetProbability,
    targetScore: scores[target] ?? Number.NaN,
    top: scored.toSorted((a, b) => b.probability - a.probability || a.index - b.index).slice(0, TOP_CLASSES),
    isZero: isConstantMap(map.data),
    isSaturated: kind !== 'logits' && targetProbability !== null && 1 - targetProbability < SATURATED,
    map,
    image: entry.image,
  };
}
