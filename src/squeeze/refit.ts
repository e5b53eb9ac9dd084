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
import { matrix } from '../linalg/matrix.js';
import type { MatrixProducts } from '../linalg/products.js';
import type { SymmetricRoot } from '../linalg/symmetric-root.js';
import { sizeOf } from '../tensor/dims.js';
import type { Tensor } from '../tensor/tensor.js';
import type { ActivationStream } from './activation-stream.js';
import type { FitOptions } from './chain-fit.js';
import { biasOf, replacementOf } from './fit-layer.js';
import {
  centredCross,
  centredGram,
  meansOf,
  type RegressionSums,
  regressionSums,
  type Targets,
} from './regression-sums.js';
import type { FittedLayer, Scheme } from './scheme.js';
import type { SqueezeLayer } from './squeeze-layer.js';
import { damped, firstStage, traceOf } from './whitened.js';

/** How layers are refitted. */
export interface RefitOptions {
  /** Samples (images times positions) for the moments of one layer. Default: 4 for each of its inputs, at least 16384. */
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
/** Samples for each input of a layer below which targets other than its own outputs are not fitted. */
const FEWEST_SAMPLES = 4;
/** Keeps the normal equations definite whatever the number of samples. */
const LEAST_RIDGE = 1e-4;
/** Share of each input's variance that is added to it: keeps the moments definite, whatever the number of samples. */
const DAMPING = 1e-4;

/** A refitted layer. */
export interface RefittedLayer {
  readonly fitted: FittedLayer;
  readonly bias: Float64Array;
}

/** Bytes that a layer's inputs and outputs may take while it is fitted. */
const PAIR_BYTES = 2 ** 28;

/** How many images a layer is fitted on, and at how many positions of each: as many images as there is room for. */
export function samplesOf(layer: SqueezeLayer, samples: number, images: number): { images: number; perImage: number } {
  const positions = sizeOf(layer.outputSize);
  const each = 4 * (layer.inputs * sizeOf(layer.inputSize) + layer.outputs * positions);
  const most = Math.min(images, Math.max(Math.ceil(samples / positions), Math.floor(PAIR_BYTES / each)));
  return { images: most, perImage: Math.min(positions, Math.ceil(samples / most)) };
}

/** Inputs as one network computes them beside outputs as another does. */
async function pairsOf(
  squeezed: ActivationStream,
  original: ActivationStream,
  layer: SqueezeLayer,
  images: number,
): Promise<(readonly [Tensor, Tensor])[]> {
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
  const { ridge = 1, rectifiedRounds = 1, sweeps = 1 } = options;
  const samples = options.samples ?? Math.max(LEAST_SAMPLES, SAMPLES_PER_INPUT * layer.weight.rows);
  const { images, perImage } = samplesOf(layer, samples, original.images);
  const pairs = await pairsOf(squeezed, original, layer, images);
  const sumsOf = (targets: Targets, known?: RegressionSums): Promise<RegressionSums> =>
    regressionSums(engine, layer, pairs, targets, perImage, known);
  const sums = await sumsOf({ kind: 'outputs' });
  const moments = centredGram(sums);
  const pull = (traceOf(moments) / moments.rows) * Math.max(LEAST_RIDGE, (ridge * layer.weight.rows) / sums.count);
  const gram = damped(moments, DAMPING, `Layer "${layer.path}": the statistics of its input`);
  const factor = await cholesky(gram, products, pull);
  const fit = async (targets: RegressionSums, how: FitOptions): Promise<RefittedLayer> => {
    const cross = centredCross(targets);
    const pulled = matrix(
      cross.rows,
      cross.cols,
      cross.data.map((value, i) => value + pull * (layer.weight.data[i] as number)),
    );
    const best = await choleskySolve(factor, await products.multiply(pulled, output.root, {}), products);
    const stage = await firstStage(gram, best, products);
    const fitted = await choice.scheme.fit(layer, choice.ranks, stage, { gram, output }, how, products);
    return { fitted, bias: biasOf(await fitted.map(), meansOf(targets)) };
  };
  const told = sums.count >= FEWEST_SAMPLES * layer.weight.rows;
  const rounds = told && isRectified(original.graph, layer) ? rectifiedRounds : 0;
  let result = await fit(sums, { sweeps: rounds === 0 ? sweeps : 0 });
  for (let round = 1; round <= rounds; round++) {
    const { fitted, bias } = result;
    const [, { emit }] = replacementOf(layer, fitted, bias);
    const rectified = await sumsOf({ kind: 'rectified', emit: (b, x) => emit([x], b) }, sums);
    result = await fit(rectified, { sweeps: round === rounds ? sweeps : 1, start: fitted.inner });
  }
  return result;
}
