/*
 * A compressed layer sees other inputs than the original did, and its own errors continue to the next. So layers are fitted in
 * order of execution, each to the original's outputs y from the compressed network's inputs x:
 *   minimise E ‖(y − T̂ᵀ x − b) M^½‖²  over trains T̂ and biases b.
 * With centred second moments G = Cov(x), H = Cov(x, y) the best dense map is T* = (G + λ)⁻¹ (H + λ T), pulled to the original T
 * where the images say nothing, and what is left is the truncation of T* in the metric (G, M): see `chain-fit.ts`.
 */

import type { Graph, Value } from '../graph/model.js';
import { findUses } from '../graph/uses.js';
import { addScaledMatrix, type Matrix, toSingle } from '../linalg/matrix.js';
import type { MatrixProducts } from '../linalg/products.js';
import type { SymmetricRoot } from '../linalg/symmetric-root.js';
import type { Replacement } from '../passes/rewrite.js';
import { countElements } from '../tensor/dims.js';
import { defined } from '../values.js';
import type { CompressibleLayer } from './compressible-layers.js';
import { buildReplacement, computeBias } from './layer-replacement.js';
import type { ChainFitOptions } from './schemes/chain-fit.js';
import type { DecompositionScheme } from './schemes/decomposition-scheme.js';
import { createRegression } from './schemes/layer-metric.js';
import type { ActivationStream } from './statistics/activation-stream.js';
import {
  collectInputSamples,
  collectOutputSamples,
  computeVariances,
  type SampleBuffer,
  type Samples,
  subtractMean,
} from './statistics/layer-samples.js';
import { getMostSamples, prepareRidgeRegression } from './statistics/ridge-regression.js';
import { computeCrossCovariance } from './statistics/sample-second-moments.js';
import { computeDamping } from './statistics/second-moment-matrix.js';

/** How layers are refitted. */
export interface RefitOptions {
  /** Samples (images times positions) for the second moments of one layer. Default: 4 for each of its inputs, at least 16384. */
  readonly samples?: number;
  /**
   * Pull to the original weights, λ = ridge · n / samples · the mean variance of an input: what Bayes' rule gives where
   * the correction explains as much of the outputs as it leaves. Default: 1.
   */
  readonly ridge?: number;
  /**
   * Rounds for outputs that a rectifier follows, whose negative values need not be met. Their targets are noise where there
   * are fewer samples than four for each input: then there is none. Default: 1.
   */
  readonly rectifiedRounds?: number;
  /** Rounds of improving all factors, see `chain-fit.ts`; a second gained a VGG16 nothing. Default: 1. */
  readonly sweeps?: number;
}

/**
 * Default number of samples: twice as many, and a second rectified round, lower the KL of a VGG16 at a tenth of its size by
 * 5 % in 1.6 of the time.
 */
const SAMPLES_PER_INPUT = 4;
const LEAST_SAMPLES = 2 ** 14;
/** Share of an image's positions up to which more of them tell as much as more images. */
const LARGEST_POSITION_SHARE = 1 / 64;
/** Samples for each input of a layer below which targets other than its own outputs are not fitted. */
const FEWEST_SAMPLES_PER_INPUT = 4;
/** The least pull, however many samples. */
const LEAST_RIDGE = 1e-4;
/** Share of each input's variance that is added to the pull: keeps the second moments definite, whatever the number of samples. */
const REFIT_DAMPING = 1e-4;

/** The network as it is, and as it is compressed so far. */
export interface ActivationStreams {
  readonly original: ActivationStream;
  readonly compressed: ActivationStream;
}

/** Memory for the samples of one layer after another. */
export interface SampleBuffers {
  readonly x: SampleBuffer;
  readonly y: SampleBuffer;
}

/** Whether everything that reads a layer's output is a rectifier. */
export function isRectified(graph: Graph, layer: CompressibleLayer): boolean {
  const consumers = findUses(graph).consumers(layer.output);
  return consumers.length > 0 && consumers.every(({ op }) => op === 'Relu') && !graph.outputs.includes(layer.output);
}

/**
 * Targets where a rectifier follows: y where it is positive, min(ŷ, 0) elsewhere, ŷ what the fit so far makes of x. Fitting
 * to them lowers ‖relu(ŷ) − relu(y)‖² at every step (majorisation; compare Zhang et al. 2015, arXiv:1505.06798).
 *
 * @param map of the fit `[n, O]`; its bias is such that it meets `target` on average.
 */
export async function computeRectifiedTargets(
  x: Samples,
  y: Samples,
  map: Matrix,
  target: Float64Array,
  products: MatrixProducts,
): Promise<Samples> {
  const fitted = await products.multiplySingle(toSingle(map), x.columns, { transposeA: true });
  const { rows, cols } = y.columns;
  const mean = new Float64Array(rows);
  for (let o = 0; o < rows; o++) {
    const row = fitted.data.subarray(o * cols, (o + 1) * cols);
    const [meanY, meanFitted] = [y.mean[o] as number, target[o] as number];
    for (let s = 0; s < cols; s++) {
      const value = (y.columns.data[o * cols + s] as number) + meanY;
      row[s] = value > 0 ? value : Math.min((row[s] as number) + meanFitted, 0);
    }
    mean[o] = subtractMean(row);
  }
  return { columns: fitted, mean };
}

/**
 * Fits one layer that is not yet replaced in `squeezed`; both streams are moved to it.
 *
 * @param next which layer is fitted next: the original moves on to it while it tells the targets.
 * @param output roots of the damped second moments of the loss gradient at its output.
 * @returns what computes the layer's output from now on.
 */
export async function refitLayer(
  { compressed, original }: ActivationStreams,
  layer: CompressibleLayer,
  next: CompressibleLayer | undefined,
  choice: { readonly scheme: DecompositionScheme; readonly ranks: readonly number[] },
  output: SymmetricRoot,
  options: RefitOptions,
  buffers: SampleBuffers,
  products: MatrixProducts,
): Promise<readonly [Value, Replacement]> {
  const { rectifiedRounds = 1, sweeps = 1 } = options;
  const usual = Math.max(LEAST_SAMPLES, SAMPLES_PER_INPUT * layer.weight.rows);
  const wanted = Math.min(options.samples ?? usual, getMostSamples(layer.weight.rows));
  const images = Math.min(
    original.images,
    Math.ceil(wanted / Math.ceil(countElements(layer.outputSize) * LARGEST_POSITION_SHARE)),
  );
  const request = { images, perImage: Math.ceil(wanted / images) };
  const x = await collectInputSamples(compressed, layer, { ...request, buffer: buffers.x });
  const y = await collectOutputSamples(original, layer, {
    ...request,
    buffer: buffers.y,
    ...defined({ moveTo: next?.node }),
  });

  const { rows: inputs, cols: count } = x.columns;
  const scales = computeVariances(x);
  const damping = computeDamping(scales, REFIT_DAMPING, `Layer "${layer.path}": the statistics of its input`);
  const mean = scales.reduce((sum, value) => sum + value, 0) / inputs;
  const pull = mean * Math.max(LEAST_RIDGE, (options.ridge ?? 1) * (inputs / count));
  const { secondMoments, solve } = await prepareRidgeRegression(x, damping, pull, products);
  const fit = async (t: Samples, how: ChainFitOptions) => {
    const cross = await computeCrossCovariance(x, t, products);
    const right = await products.multiply(addScaledMatrix(cross, pull, layer.weight), output.root, {});
    const best = await solve(right);
    // (G + pull) best = right, so that G best needs no product.
    const regression = createRegression(secondMoments, best, addScaledMatrix(right, -pull, best));
    const fitted = await choice.scheme.fit(layer, choice.ranks, regression, output, how, products);
    return { fitted, map: await fitted.computeMap(), target: t.mean };
  };
  const hasEnoughSamples = count >= FEWEST_SAMPLES_PER_INPUT * inputs;
  const rounds = hasEnoughSamples && isRectified(original.graph, layer) ? rectifiedRounds : 0;
  let last = await fit(y, { sweeps: rounds === 0 ? sweeps : 0 });
  for (let round = 1; round <= rounds; round++) {
    const rectified = await computeRectifiedTargets(x, y, last.map, last.target, products);
    last = await fit(rectified, { sweeps: round === rounds ? sweeps : 1, startCores: last.fitted.innerCores });
  }
  return buildReplacement(layer, last.fitted, computeBias(last.map, x.mean, last.target));
}
