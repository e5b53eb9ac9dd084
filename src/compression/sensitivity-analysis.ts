/*
 * What every layer of a network contributes: its curve of cost against loss, predicted by the second moments of its input and of the
 * loss gradient, and put right by replacing the layer alone at a few points and measuring the predictions.
 */
import type { Engine } from '../engine/engine.js';
import type { Graph, Value } from '../graph/model.js';
import type { Matrix } from '../linalg/matrix.js';
import type { MatrixProducts } from '../linalg/products.js';
import type { SymmetricRoot } from '../linalg/symmetric-root.js';
import { findScores } from '../ops/scores/scores.js';
import type { Replacement } from '../passes/rewrite.js';
import type { Tensor } from '../tensor/tensor.js';
import type { CompressibleLayer } from './compressible-layers.js';
import { computeMeanDivergence, describeScoreSource } from './kl-divergence.js';
import { buildReplacement, computeBias, computeMeanOutput, computeOutputMetric } from './layer-replacement.js';
import type { DecompositionScheme, SchemeName } from './schemes/decomposition-scheme.js';
import { createMapRegression } from './schemes/layer-metric.js';
import { computeEnergies, computeTruncationErrors, type UnfoldingEnergies } from './schemes/truncation-errors.js';
import {
  type BudgetUnit,
  buildDenseOption,
  choosePointsToMeasure,
  correctOptions,
  type LayerOption,
  type MeasuredPoint,
  NEGLIGIBLE_LOSS,
  predictOptions,
} from './sensitivity-curves.js';
import { ActivationStream } from './statistics/activation-stream.js';
import { computeGradientSecondMoments } from './statistics/gradient-second-moments.js';
import { collectInputSamples, computeVariances, SampleBuffer } from './statistics/layer-samples.js';
import { createSampleMoments } from './statistics/sample-second-moments.js';
import { computeDamping } from './statistics/second-moment-matrix.js';

/** How layers are studied. */
export interface SensitivityOptions {
  /** Default: svd, tucker2 and tt-conv. */
  readonly schemes?: readonly SchemeName[];
  /** Images for a layer's second moments, and samples (images times positions) of them. Default: 512 and 8192. */
  readonly curveImages?: number;
  readonly curveSamples?: number;
  /** Images for the second moments of gradients. Default: 300. */
  readonly gradientImages?: number;
  /**
   * Images on which points of the curves are measured, fewer for layers that hardly count; others than those of the second moments
   * where there are enough. Default: 200.
   */
  readonly measuredImages?: number;
  /** Shares of a layer's dense cost at which its curve is measured. Default: 0.03 and 0.15. */
  readonly measuredShares?: readonly number[];
  /** Seed of the labels drawn for the loss. Default: 0. */
  readonly seed?: number;
  /** Told before each layer; may throw to stop. */
  onLayer?(path: string, done: number): void;
  /** What is known already, and where to put what is found. */
  readonly memory?: SensitivityCache;
}

/** Curves of layers that were studied before. */
export interface SensitivityCache {
  /** Reads what was kept of a layer. */
  read(path: string): Promise<Omit<LayerSensitivity, 'layer'> | undefined>;
  /** Keeps what was found of a layer. */
  write(studied: LayerSensitivity): Promise<void>;
}

/** A layer with all that was learnt about it. */
export interface LayerSensitivity {
  readonly layer: CompressibleLayer;
  /** Roots of the damped second moments of the loss gradient at its output; `undefined` where it was not analysed. */
  readonly output: SymmetricRoot | undefined;
  /** Cheapest first; the last leaves it dense. */
  readonly options: readonly LayerOption[];
  readonly measured: readonly MeasuredPoint[];
  /** What its ranks contribute, to be looked at. */
  readonly spectra: readonly UnfoldingEnergies[];
  /** Why it was not studied. */
  readonly reason?: string;
}

/** Schemes that are tried unless others are named. */
export const DEFAULT_SCHEMES: readonly SchemeName[] = ['svd', 'tucker2', 'tt-conv'];
/** Share of each input's variance that is added to it. */
const INPUT_DAMPING = 1e-4;
/** A layer below this share of the whole cost is not use its measuring. */
const NEGLIGIBLE_COST_SHARE = 1e-3;
/** From this share of the whole cost on, a layer is measured on all of the images; below it on a part. */
const LARGE_COST_SHARE = 0.05;
const FEWEST_POINT_IMAGES = 96;

const NO_GRADIENT_REASON = 'it reaches the scores through operators without a gradient alone';

/** Images on which the points of a layer are measured that makes a share of the whole cost. */
function countPointImages(share: number, most: number): number {
  return Math.max(Math.min(FEWEST_POINT_IMAGES, most), most * Math.min(1, share / LARGE_COST_SHARE));
}

/** A layer that has no option but to stay as it is. */
export function buildDenseSensitivity(layer: CompressibleLayer, unit: BudgetUnit, reason: string): LayerSensitivity {
  return { layer, output: undefined, options: [buildDenseOption(layer, unit)], measured: [], spectra: [], reason };
}

const countChunkImages = (chunks: readonly Tensor[]): number =>
  chunks.reduce((sum, { dims }) => sum + (dims[0] ?? 0), 0);

/** The first batches that hold so many images. */
export function takeFirstImages(chunks: readonly Tensor[], images: number): readonly Tensor[] {
  let seen = 0;
  return chunks.filter(({ dims }) => {
    const wanted = seen < images;
    seen += dims[0] ?? 0;
    return wanted;
  });
}

/** The network as it is, and what it predicts for the images that points are measured on. */
interface OriginalNetwork {
  readonly stream: ActivationStream;
  readonly scores: readonly Tensor[];
  /** How many images a point is measured on. */
  readonly pointImages: number;
  /** How many images at the beginning are kept for measuring. */
  readonly measuringImages: number;
}

/** Mean KL from the original's predictions when one value is computed in another way. */
async function measureDivergence(
  { stream, scores, pointImages: images }: OriginalNetwork,
  replaced: readonly [Value, Replacement],
) {
  const after = await stream.computeScores({ images, replace: new Map([replaced]) });
  return computeMeanDivergence(scores, after, describeScoreSource(findScores(stream.graph)));
}

async function analyseLayer(
  original: OriginalNetwork,
  layer: CompressibleLayer,
  gradients: Matrix,
  unit: BudgetUnit,
  options: SensitivityOptions,
  buffer: SampleBuffer,
  products: MatrixProducts,
): Promise<LayerSensitivity> {
  const { curveSamples = 8192, schemes = DEFAULT_SCHEMES, measuredShares = [0.03, 0.15] } = options;
  const { stream, measuringImages } = original;
  await stream.moveTo(layer.node);
  const perImage = Math.ceil(curveSamples / (stream.images - measuringImages));
  const samples = await collectInputSamples(stream, layer, { perImage, skip: measuringImages, buffer });
  const ridge = computeDamping(
    computeVariances(samples),
    INPUT_DAMPING,
    `Layer "${layer.path}": the statistics of its input`,
  );
  const output = await computeOutputMetric(layer.path, gradients, products);
  const map = await products.multiply(layer.weight, output.root, {});
  const regression = await createMapRegression(createSampleMoments(samples, ridge, products), map);
  const truncationErrors = await computeTruncationErrors(layer, regression, products);
  // A bias that takes the means, also where there was none.
  const predicted = await predictOptions(
    { layer, regression, output, truncationErrors, products },
    unit,
    schemes,
    layer.outputs,
  );
  const measurePoint = async ({ ranks, loss }: LayerOption, scheme: DecompositionScheme): Promise<MeasuredPoint> => {
    const fitted = await scheme.fit(layer, ranks, regression, output, {}, products);
    const bias = computeBias(await fitted.computeMap(), samples.mean, computeMeanOutput(layer, samples.mean));
    return { predicted: loss, measured: await measureDivergence(original, buildReplacement(layer, fitted, bias)) };
  };
  const [cheapest] = predicted;
  if (cheapest?.scheme && gradients.data.every((value) => value === 0)) {
    // No gradient at all: either the layer counts for nothing, or predictions are beyond doubt, and only measuring says which.
    const { measured } = await measurePoint(cheapest, cheapest.scheme);
    const point = { predicted: 0, measured };
    const options = [{ ...cheapest, loss: 0, alone: 0 }, buildDenseOption(layer, unit)];
    if (measured <= NEGLIGIBLE_LOSS)
      return { layer, output, options, measured: [point], spectra: computeEnergies(truncationErrors) };
  }
  const measured: MeasuredPoint[] = [];
  for (const option of choosePointsToMeasure(predicted, measuredShares)) {
    if (option.scheme) measured.push(await measurePoint(option, option.scheme));
  }
  const corrected = correctOptions(predicted, measured);
  return { layer, output, options: corrected, measured, spectra: computeEnergies(truncationErrors) };
}

/**
 * The curves of all layers.
 *
 * @param chunks calibration images in batches; the first of them are used.
 * @throws ShiboriError naming the layer whose statistics are not finite.
 */
export async function analyseLayers(
  engine: Engine,
  graph: Graph,
  layers: readonly CompressibleLayer[],
  chunks: readonly Tensor[],
  unit: BudgetUnit,
  options: SensitivityOptions,
  products: MatrixProducts,
): Promise<LayerSensitivity[]> {
  const { memory: cache, seed } = options;
  const known = new Map<string, LayerSensitivity>();
  for (const layer of layers) {
    const found = await cache?.read(layer.path);
    if (found) known.set(layer.path, { layer, ...found });
  }
  const missing = layers.filter(({ path }) => !known.has(path));
  if (missing.length > 0) {
    const { curveImages = 512, gradientImages = 300, measuredImages = 200 } = options;
    const measuredChunks = takeFirstImages(chunks, measuredImages);
    // A layer with more inputs than samples is fitted to the very images: on them it would seem to lose nothing.
    const others = chunks.slice(measuredChunks.length);
    const measuringImages = countChunkImages(others) < measuredImages ? 0 : countChunkImages(measuredChunks);
    const learnt = measuringImages > 0 ? others : chunks;
    const draws = seed === undefined ? {} : { seed };
    const gradients = await computeGradientSecondMoments(
      engine,
      graph,
      missing,
      takeFirstImages(learnt, gradientImages),
      draws,
    );
    const stream = new ActivationStream(
      engine,
      graph,
      takeFirstImages(chunks, measuringImages + Math.max(curveImages, measuredImages)),
    );
    const scores = await stream.computeScores({ images: measuredImages });
    const buffer = new SampleBuffer();
    const total = layers.reduce((sum, layer) => sum + buildDenseOption(layer, unit).cost, 0);
    for (const layer of missing) {
      options.onLayer?.(layer.path, known.size);
      const moments = gradients.get(layer.path);
      const share = buildDenseOption(layer, unit).cost / total;
      const original: OriginalNetwork = {
        stream,
        scores,
        pointImages: countPointImages(share, measuredImages),
        measuringImages,
      };
      const reason =
        share < NEGLIGIBLE_COST_SHARE ? `it is ${(100 * share).toFixed(2)} % of the whole` : NO_GRADIENT_REASON;
      const sensitivity =
        share < NEGLIGIBLE_COST_SHARE || !moments
          ? buildDenseSensitivity(layer, unit, reason)
          : await analyseLayer(original, layer, moments, unit, options, buffer, products);
      known.set(layer.path, sensitivity);
      await cache?.write(sensitivity);
    }
  }
  return layers.flatMap(({ path }) => known.get(path) ?? []);
}
