/*
 * A squeezed layer sees other inputs than the original did, and its own errors go on to the next. So layers are fitted in
 * order of execution, each to the original's outputs y from the squeezed network's inputs x:
 *   minimise E ‖(y − T̂ᵀ x − b) M^½‖²  over trains T̂ and biases b.
 * With centred moments G = Cov(x), H = Cov(x, y) the best dense map is T* = (G + λ)⁻¹ (H + λ T), pulled to the original T
 * where the images say nothing, and what is left is the truncation of T* in the metric (G, M): see `chain-fit.ts`.
 */
import type { Engine } from '../engine/engine.js';
import type { Graph } from '../graph/model.js';
import { usesOf } from '../graph/uses.js';
import { cholesky, choleskySolve } from '../linalg/cholesky.js';
import { type Matrix, matrix } from '../linalg/matrix.js';
import type { MatrixProducts } from '../linalg/products.js';
import type { SymmetricRoot } from '../linalg/symmetric-root.js';
import { sizeOf } from '../tensor/dims.js';
import type { Tensor } from '../tensor/tensor.js';
import type { ActivationStream } from './activation-stream.js';
import type { FitOptions } from './chain-fit.js';
import { replacementOf } from './fit-layer.js';
import { type CentredMoments, centred, type RegressionSums, regressionSums, type Targets } from './regression-sums.js';
import type { FittedLayer, Scheme } from './scheme.js';
import type { SqueezeLayer } from './squeeze-layer.js';
import { damped, firstStage, traceOf } from './whitened.js';

/** How layers are refitted. */
export interface RefitOptions {
  /** Samples (images times positions) for the moments of one layer. Default: 65536. */
  readonly samples?: number;
  /**
   * Pull to the original weights, λ = ridge · n / samples · the mean variance of an input: what Bayes' rule gives where
   * the correction explains as much of the outputs as it leaves. Default: 1.
   */
  readonly ridge?: number;
  /**
   * Rounds for outputs that a rectifier follows, whose negative values need not be met. Their targets are noise where there
   * are fewer samples than four for each input: then there is none. Default: 2.
   */
  readonly rectifiedRounds?: number;
  /** Rounds of improving all factors, see `chain-fit.ts`. Default: 2. */
  readonly sweeps?: number;
}

/** Samples for each input of a layer below which targets other than its own outputs are not fitted. */
const FEWEST_SAMPLES = 4;
/** Keeps the normal equations definite whatever the number of samples. */
const LEAST_RIDGE = 1e-4;
/** Added to the metric of the truncation, which must not follow the noise of few images where there is no variance. */
const METRIC_DAMPING = 1e-3;

/** A refitted layer. */
export interface RefittedLayer {
  readonly fitted: FittedLayer;
  readonly bias: Float64Array;
}

/** Inputs as one network computes them beside outputs as another does, of the first images that make so many samples. */
async function pairsOf(
  squeezed: ActivationStream,
  original: ActivationStream,
  layer: SqueezeLayer,
  samples: number,
): Promise<(readonly [Tensor, Tensor])[]> {
  const images = Math.ceil(samples / sizeOf(layer.outputSize));
  const pairs: (readonly [Tensor, Tensor])[] = [];
  const targets = original.run({ values: [layer.output], images });
  try {
    for await (const [x] of squeezed.run({ values: [layer.x], images })) {
      const y = (await targets.next()).value?.[0];
      if (x && y) pairs.push([x, y]);
    }
  } finally {
    await targets.return(undefined);
  }
  return pairs;
}

/** Whether everything that reads a layer's output is a rectifier. */
export function isRectified(graph: Graph, layer: SqueezeLayer): boolean {
  const consumers = usesOf(graph).consumers(layer.output);
  return consumers.length > 0 && consumers.every(({ op }) => op === 'Relu') && !graph.outputs.includes(layer.output);
}

/** bias = E[t] − T̂ᵀ E[x]. */
function biasOf(map: Matrix, meanX: Float64Array, meanTarget: Float64Array): Float64Array {
  const bias = meanTarget.slice();
  for (let i = 0, at = 0; i < map.rows; i++) {
    for (let o = 0; o < map.cols; o++, at++) {
      bias[o] = (bias[o] as number) - (map.data[at] as number) * (meanX[i] as number);
    }
  }
  return bias;
}

/**
 * Fits one layer; both streams are moved to it, and it is not yet replaced in `squeezed`.
 *
 * @param output roots of the damped moments of the loss gradient at its output.
 */
export async function refitLayer(
  engine: Engine,
  squeezed: ActivationStream,
  original: ActivationStream,
  layer: SqueezeLayer,
  choice: { readonly scheme: Scheme; readonly ranks: readonly number[] },
  output: SymmetricRoot,
  options: RefitOptions,
  products: MatrixProducts,
): Promise<RefittedLayer> {
  const { samples = 65_536, ridge = 1, rectifiedRounds = 2, sweeps = 2 } = options;
  const pairs = await pairsOf(squeezed, original, layer, samples);
  const sumsOf = (targets: Targets, known?: RegressionSums): Promise<RegressionSums> =>
    regressionSums(engine, layer, pairs, targets, samples, known);
  const sums = await sumsOf({ kind: 'outputs' });
  const first = centred(sums);
  const share = Math.max(LEAST_RIDGE, (ridge * layer.weight.rows) / sums.count);
  const what = `Layer "${layer.path}": the statistics of its input`;
  const gram = damped(first.gram, METRIC_DAMPING, what);
  const ridged = damped(first.gram, share, what);
  const pull = (share * traceOf(first.gram)) / gram.rows;
  const factor = await cholesky(ridged, products);
  const fit = async (
    moments: Pick<CentredMoments, 'cross' | 'meanTarget'>,
    how: FitOptions,
  ): Promise<RefittedLayer> => {
    const pulled = matrix(
      moments.cross.rows,
      moments.cross.cols,
      moments.cross.data.map((value, i) => value + pull * (layer.weight.data[i] as number)),
    );
    const best = await choleskySolve(factor, await products.multiply(pulled, output.root, {}), products);
    const stage = await firstStage(gram, best, products);
    const fitted = await choice.scheme.fit(layer, choice.ranks, stage, { gram, output }, how, products);
    return { fitted, bias: biasOf(await fitted.map(), first.meanX, moments.meanTarget) };
  };
  const told = sums.count >= FEWEST_SAMPLES * layer.weight.rows;
  const rounds = told && isRectified(original.graph, layer) ? rectifiedRounds : 0;
  let result = await fit(first, { sweeps: rounds === 0 ? sweeps : 0 });
  for (let round = 1; round <= rounds; round++) {
    const { fitted, bias } = result;
    const [, { emit }] = replacementOf(layer, fitted, bias);
    const moments = centred(await sumsOf({ kind: 'rectified', emit: (b, x) => emit([x], b) }, sums));
    result = await fit(moments, { sweeps: round === rounds ? sweeps : 1, start: fitted.inner });
  }
  return result;
}
