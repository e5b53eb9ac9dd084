/*
 * What every layer of a network is worth: its curve of cost against loss, predicted by the moments of its input and of the
 * loss gradient, and put right by replacing the layer alone at a few points and measuring the predictions.
 */
import type { Engine } from '../engine/engine.js';
import type { Graph, Value } from '../graph/model.js';
import type { Matrix } from '../linalg/matrix.js';
import type { MatrixProducts } from '../linalg/products.js';
import type { SymmetricRoot } from '../linalg/symmetric-root.js';
import { scoresOf } from '../ops/scores/scores.js';
import type { Replacement } from '../passes/rewrite.js';
import type { Tensor } from '../tensor/tensor.js';
import {
  correctedOptions,
  denseOption,
  type Goal,
  type LayerOption,
  LEAST_LOSS,
  type MeasuredPoint,
  pointsToMeasure,
  predictedOptions,
} from './curves.js';
import { meanDivergence, sourceKinds } from './divergence.js';
import { biasOf, meanOutput, outputMetric, replacementOf } from './fit-layer.js';
import type { Scheme, SchemeName } from './schemes/scheme.js';
import { type BondEnergies, energiesOf, tailsOf } from './schemes/tails.js';
import { mapStage } from './schemes/whitened.js';
import type { SqueezeLayer } from './squeeze-layer.js';
import { ActivationStream } from './statistics/activation-stream.js';
import { dampingOf } from './statistics/moments.js';
import { sampleMoments } from './statistics/sample-moments.js';
import { inputSamples, SampleSpace, variances } from './statistics/samples.js';
import { type AppendGradients, gradientMoments } from './statistics/second-moments.js';

/** How layers are studied. */
export interface StudyOptions {
  /** Builds gradients: `appendGradients` of `autodiff/`. */
  readonly gradients: AppendGradients;
  /** Default: svd, tucker2 and tt-conv. */
  readonly schemes?: readonly SchemeName[];
  /** Images for a layer's moments, and samples (images times positions) of them. Default: 512 and 8192. */
  readonly curveImages?: number;
  readonly curveSamples?: number;
  /** Images for the moments of gradients. Default: 300. */
  readonly gradientImages?: number;
  /**
   * Images on which points of the curves are measured, fewer for layers that hardly count; others than those of the moments
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
  readonly memory?: StudyMemory;
}

/** Curves of layers that were studied before. */
export interface StudyMemory {
  recall(path: string): Promise<Omit<StudiedLayer, 'layer'> | undefined>;
  keep(studied: StudiedLayer): Promise<void>;
}

/** A layer with all that was learnt about it. */
export interface StudiedLayer {
  readonly layer: SqueezeLayer;
  /** Roots of the damped moments of the loss gradient at its output; `undefined` where it was not studied. */
  readonly output: SymmetricRoot | undefined;
  /** Cheapest first; the last leaves it dense. */
  readonly options: readonly LayerOption[];
  readonly measured: readonly MeasuredPoint[];
  /** What its bonds are worth, to be looked at. */
  readonly spectra: readonly BondEnergies[];
  /** Why it was not studied. */
  readonly reason?: string;
}

/** Schemes that are tried unless others are named. */
export const DEFAULT_SCHEMES: readonly SchemeName[] = ['svd', 'tucker2', 'tt-conv'];
/** Share of each input's variance that is added to it. */
const DAMPING = 1e-4;
/** A layer below this share of the whole cost is not worth its measuring. */
const SMALL_SHARE = 1e-3;
/** From this share of the whole cost on, a layer is measured on all of the images; below it on a part. */
const LARGE_SHARE = 0.05;
const FEWEST_IMAGES = 96;

const NO_GRADIENT = 'it reaches the scores through operators without a gradient alone';

/** Images on which the points of a layer are measured that makes a share of the whole cost. */
function imagesFor(share: number, most: number): number {
  return Math.max(Math.min(FEWEST_IMAGES, most), most * Math.min(1, share / LARGE_SHARE));
}

/** A layer that has no option but to stay as it is. */
export function leftDense(layer: SqueezeLayer, goal: Goal, reason: string): StudiedLayer {
  return { layer, output: undefined, options: [denseOption(layer, goal)], measured: [], spectra: [], reason };
}

const countOf = (chunks: readonly Tensor[]): number => chunks.reduce((sum, { dims }) => sum + (dims[0] ?? 0), 0);

/** The first batches that hold so many images. */
export function firstImages(chunks: readonly Tensor[], images: number): readonly Tensor[] {
  let seen = 0;
  return chunks.filter(({ dims }) => {
    const wanted = seen < images;
    seen += dims[0] ?? 0;
    return wanted;
  });
}

/** The network as it is, and what it predicts for the images that points are measured on. */
interface Original {
  readonly stream: ActivationStream;
  readonly scores: readonly Tensor[];
  /** How many images a point is measured on. */
  readonly images: number;
  /** How many images at the beginning are kept for measuring. */
  readonly heldOut: number;
}

/** Mean KL from the original's predictions when one value is computed in another way. */
async function divergence({ stream, scores, images }: Original, replaced: readonly [Value, Replacement]) {
  const after = await stream.scores({ images, replace: new Map([replaced]) });
  return meanDivergence(scores, after, sourceKinds(scoresOf(stream.graph)));
}

async function studyLayer(
  original: Original,
  layer: SqueezeLayer,
  gradients: Matrix,
  goal: Goal,
  options: StudyOptions,
  space: SampleSpace,
  products: MatrixProducts,
): Promise<StudiedLayer> {
  const { curveSamples = 8192, schemes = DEFAULT_SCHEMES, measuredShares = [0.03, 0.15] } = options;
  const { stream, heldOut } = original;
  await stream.moveTo(layer.node);
  const perImage = Math.ceil(curveSamples / (stream.images - heldOut));
  const samples = await inputSamples(stream, layer, { perImage, skip: heldOut, space });
  const ridge = dampingOf(variances(samples), DAMPING, `Layer "${layer.path}": the statistics of its input`);
  const output = await outputMetric(layer.path, gradients, products);
  const map = await products.multiply(layer.weight, output.root, {});
  const stage = await mapStage(sampleMoments(samples, ridge, products), map);
  const tails = await tailsOf(layer, stage, products);
  // A bias that takes the means, also where there was none.
  const predicted = await predictedOptions({ layer, stage, output, tails, products }, goal, schemes, layer.outputs);
  const measure = async ({ ranks, loss }: LayerOption, scheme: Scheme): Promise<MeasuredPoint> => {
    const fitted = await scheme.fit(layer, ranks, stage, output, {}, products);
    const bias = biasOf(await fitted.map(), samples.mean, meanOutput(layer, samples.mean));
    return { predicted: loss, measured: await divergence(original, replacementOf(layer, fitted, bias)) };
  };
  const [cheapest] = predicted;
  if (cheapest?.scheme && gradients.data.every((value) => value === 0)) {
    // No gradient at all: either the layer counts for nothing, or predictions are beyond doubt, and only measuring says which.
    const { measured } = await measure(cheapest, cheapest.scheme);
    const point = { predicted: 0, measured };
    const options = [{ ...cheapest, loss: 0, alone: 0 }, denseOption(layer, goal)];
    if (measured <= LEAST_LOSS) return { layer, output, options, measured: [point], spectra: energiesOf(tails) };
  }
  const measured: MeasuredPoint[] = [];
  for (const option of pointsToMeasure(predicted, measuredShares)) {
    if (option.scheme) measured.push(await measure(option, option.scheme));
  }
  const corrected = correctedOptions(predicted, measured);
  return { layer, output, options: corrected, measured, spectra: energiesOf(tails) };
}

/**
 * The curves of all layers.
 *
 * @param chunks calibration images in batches; the first of them are used.
 * @throws ShiboriError naming the layer whose statistics are not finite.
 */
export async function studyLayers(
  engine: Engine,
  graph: Graph,
  layers: readonly SqueezeLayer[],
  chunks: readonly Tensor[],
  goal: Goal,
  options: StudyOptions,
  products: MatrixProducts,
): Promise<StudiedLayer[]> {
  const { memory, seed } = options;
  const known = new Map<string, StudiedLayer>();
  for (const layer of layers) {
    const found = await memory?.recall(layer.path);
    if (found) known.set(layer.path, { layer, ...found });
  }
  const missing = layers.filter(({ path }) => !known.has(path));
  if (missing.length > 0) {
    const { curveImages = 512, gradientImages = 300, measuredImages = 200 } = options;
    const measuredChunks = firstImages(chunks, measuredImages);
    // A layer with more inputs than samples is fitted to the very images: on them it would seem to lose nothing.
    const others = chunks.slice(measuredChunks.length);
    const heldOut = countOf(others) < measuredImages ? 0 : countOf(measuredChunks);
    const learnt = heldOut > 0 ? others : chunks;
    const draws = seed === undefined ? {} : { seed };
    const gradients = await gradientMoments(
      engine,
      graph,
      missing,
      firstImages(learnt, gradientImages),
      options.gradients,
      draws,
    );
    const stream = new ActivationStream(
      engine,
      graph,
      firstImages(chunks, heldOut + Math.max(curveImages, measuredImages)),
    );
    const scores = await stream.scores({ images: measuredImages });
    const space = new SampleSpace();
    const total = layers.reduce((sum, layer) => sum + denseOption(layer, goal).cost, 0);
    for (const layer of missing) {
      options.onLayer?.(layer.path, known.size);
      const moments = gradients.get(layer.path);
      const share = denseOption(layer, goal).cost / total;
      const original: Original = { stream, scores, images: imagesFor(share, measuredImages), heldOut };
      const reason = share < SMALL_SHARE ? `it is ${(100 * share).toFixed(2)} % of the whole` : NO_GRADIENT;
      const studied =
        share < SMALL_SHARE || !moments
          ? leftDense(layer, goal, reason)
          : await studyLayer(original, layer, moments, goal, options, space, products);
      known.set(layer.path, studied);
      await memory?.keep(studied);
    }
  }
  return layers.flatMap(({ path }) => known.get(path) ?? []);
}
