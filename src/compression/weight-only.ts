/*
 * Squeezing without images: every direction counts alike, G = 1 and M = 1 in `whitened.ts`, and a layer loses the relative
 * squared error ‖T̂ − T‖² / ‖T‖² of its weight. It is what singular values alone can say; how much of it the predictions
 * feel, nobody knows without images.
 */
import type { Engine } from '../engine/engine.js';
import { engineProducts } from '../engine/matrix-products.js';
import { ShiboriError } from '../errors.js';
import type { Graph, Value } from '../graph/model.js';
import { identity, matrix, sumOfSquares } from '../linalg/matrix.js';
import type { MatrixProducts } from '../linalg/products.js';
import type { SymmetricRoot } from '../linalg/symmetric-root.js';
import { type Replacement, rewrite } from '../passes/rewrite.js';
import { type Goal, type LayerOption, predictedOptions, priceAlone } from './curves.js';
import { replacementOf } from './fit-layer.js';
import type { SchemeName } from './schemes/scheme.js';
import { energiesOf, tailsOf } from './schemes/tails.js';
import { mapStage, type Stage } from './schemes/whitened.js';
import { type Spent, type StudiedNetwork, spend } from './spend.js';
import type { SqueezeLayer } from './squeeze-layer.js';
import { squeezedLayers } from './squeezed-layer.js';
import { gramMoments } from './statistics/moments.js';
import { DEFAULT_SCHEMES, type StudiedLayer } from './study.js';

/** How weights are squeezed. */
export interface WeightOptions {
  /** Default: svd, tucker2 and tt-conv. */
  readonly schemes?: readonly SchemeName[];
  /**
   * What layers are compared by: the error relative to each weight's norm, or its plain magnitude, by which the smallest
   * singular values of all layers go first. Default: `relative`.
   */
  readonly error?: 'relative' | 'magnitude';
  /** Told before each layer. */
  onLayer?(path: string, done: number, total: number): void;
  readonly signal?: AbortSignal;
}

/** A layer's weight where every direction counts alike, times `scale`. */
function plainStage({ weight }: SqueezeLayer, scale: number, products: MatrixProducts): Promise<Stage> {
  const { rows, cols, data } = weight;
  const scaled = data.map((value) => value * scale);
  return mapStage(gramMoments(identity(rows), products), matrix(rows, cols, scaled));
}

/** The outputs' metric that changes nothing. */
function plainOutput({ outputs }: SqueezeLayer): SymmetricRoot {
  const root = identity(outputs);
  return { root, inverse: root, rank: outputs };
}

async function studyWeight(
  layer: SqueezeLayer,
  goal: Goal,
  { schemes = DEFAULT_SCHEMES, error = 'relative' }: WeightOptions,
  products: MatrixProducts,
): Promise<StudiedLayer> {
  const norm = Math.sqrt(sumOfSquares(layer.weight.data));
  if (!Number.isFinite(norm))
    throw new ShiboriError(`Layer "${layer.path}": its weight holds NaN or infinite values.`, {
      code: 'unsupported-model',
    });
  const scale = error === 'relative' && norm > 0 ? 1 / norm : 1;
  const stage = await plainStage(layer, scale, products);
  const output = plainOutput(layer);
  const tails = await tailsOf(layer, stage, products);
  const options = await predictedOptions(
    { layer, stage, output, tails, products },
    goal,
    schemes,
    layer.bias?.length ?? 0,
  );
  return { layer, output, options, measured: [], spectra: energiesOf(tails) };
}

/** The layers of a network, and what each weight loses at every size. */
export type StudiedWeights = Pick<StudiedNetwork, 'graph' | 'goal' | 'layers'>;

/**
 * Learns what every weight loses at every size.
 *
 * @param graph of any batch, after exact savings.
 * @param layers of this graph.
 * @throws ShiboriError for a weight that is not finite.
 */
export async function studyWeights(
  engine: Engine,
  graph: Graph,
  layers: readonly SqueezeLayer[],
  goal: Goal,
  options: WeightOptions = {},
): Promise<StudiedWeights> {
  const { signal } = options;
  const products = engineProducts(engine);
  try {
    const studied: StudiedLayer[] = [];
    for (const [done, layer] of layers.entries()) {
      signal?.throwIfAborted();
      options.onLayer?.(layer.path, done, layers.length);
      studied.push(await studyWeight(layer, goal, options, products));
    }
    return { graph, goal, layers: studied };
  } finally {
    await products.dispose();
  }
}

/** The cheapest options of all layers whose relative error is within a bound, 0…1; dense where there is none. */
export function withinError({ layers }: StudiedWeights, error: number): ReadonlyMap<string, LayerOption> {
  return new Map(
    layers.flatMap(({ layer, options }) => {
      const found = options.find(({ loss }) => Math.sqrt(2 * loss) <= error);
      return found ? [[layer.path, found] as const] : [];
    }),
  );
}

/**
 * Spends an amount of the study's goal, or takes options that were chosen. `predicted` of each layer is half of its
 * relative squared error.
 *
 * @throws BudgetUnreachable when the amount is too small.
 */
export async function spendOnWeights(
  engine: Engine,
  network: StudiedWeights,
  amount: number | ReadonlyMap<string, LayerOption>,
  options: WeightOptions = {},
): Promise<Spent> {
  const { graph, layers } = network;
  const { chosen, price } =
    typeof amount === 'number' ? spend(network, amount, priceAlone) : { chosen: amount, price: 0 };
  const products = engineProducts(engine);
  try {
    const replace = new Map<Value, Replacement>();
    for (const { layer } of layers) {
      options.signal?.throwIfAborted();
      const option = chosen.get(layer.path);
      if (!option?.scheme) continue;
      const stage = await plainStage(layer, 1, products);
      const fitted = await option.scheme.fit(layer, option.ranks, stage, plainOutput(layer), {}, products);
      replace.set(...replacementOf(layer, fitted, layer.bias));
    }
    return { graph: rewrite(graph, { replace }), layers: squeezedLayers(layers, chosen), price };
  } finally {
    await products.dispose();
  }
}
