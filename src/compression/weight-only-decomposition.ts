/*
 * Compression without images: every direction counts alike, G = 1 and M = 1 in `whitened.ts`, and a layer loses the relative
 * squared error ‖T̂ − T‖² / ‖T‖² of its weight. It is what singular values alone can say; how much of it the predictions
 * feel, no one has without images.
 */
import type { Engine } from '../engine/engine.js';
import { engineProducts } from '../engine/matrix-products.js';
import { ShiboriError } from '../errors.js';
import type { Graph, Value } from '../graph/model.js';
import { computeSumOfSquares, identity, matrix } from '../linalg/matrix.js';
import type { MatrixProducts } from '../linalg/products.js';
import type { SymmetricRoot } from '../linalg/symmetric-root.js';
import { type Replacement, rewrite } from '../passes/rewrite.js';
import type { CompressibleLayer } from './compressible-layers.js';
import { type AnalysedNetwork, chooseLayerOptions, type DecomposedGraph } from './decompose-network.js';
import { listLayerOutcomes } from './layer-outcome.js';
import { buildReplacement } from './layer-replacement.js';
import type { SchemeName } from './schemes/decomposition-scheme.js';
import { createMapRegression, type MapRegression } from './schemes/layer-metric.js';
import { computeEnergies, computeTruncationErrors } from './schemes/truncation-errors.js';
import { DEFAULT_SCHEMES, type LayerSensitivity } from './sensitivity-analysis.js';
import { type BudgetUnit, estimateLossAlone, type LayerOption, predictOptions } from './sensitivity-curves.js';
import { createMatrixMoments } from './statistics/second-moment-matrix.js';

/** How weights are compressed. */
export interface WeightOnlyOptions {
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
function createWeightRegression(
  { weight }: CompressibleLayer,
  scale: number,
  products: MatrixProducts,
): Promise<MapRegression> {
  const { rows, cols, data } = weight;
  const scaled = data.map((value) => value * scale);
  return createMapRegression(createMatrixMoments(identity(rows), products), matrix(rows, cols, scaled));
}

/** The outputs' metric that changes nothing. */
function buildIdentityMetric({ outputs }: CompressibleLayer): SymmetricRoot {
  const root = identity(outputs);
  return { root, inverse: root, rank: outputs };
}

async function analyseWeight(
  layer: CompressibleLayer,
  unit: BudgetUnit,
  { schemes = DEFAULT_SCHEMES, error = 'relative' }: WeightOnlyOptions,
  products: MatrixProducts,
): Promise<LayerSensitivity> {
  const norm = Math.sqrt(computeSumOfSquares(layer.weight.data));
  if (!Number.isFinite(norm))
    throw new ShiboriError(`Layer "${layer.path}": its weight holds NaN or infinite values.`, {
      code: 'unsupported-model',
    });
  const scale = error === 'relative' && norm > 0 ? 1 / norm : 1;
  const regression = await createWeightRegression(layer, scale, products);
  const output = buildIdentityMetric(layer);
  const truncationErrors = await computeTruncationErrors(layer, regression, products);
  const options = await predictOptions(
    { layer, regression, output, truncationErrors, products },
    unit,
    schemes,
    layer.bias?.length ?? 0,
  );
  return { layer, output, options, measured: [], spectra: computeEnergies(truncationErrors) };
}

/** The layers of a network, and what each weight loses at every size. */
export type AnalysedWeights = Pick<AnalysedNetwork, 'graph' | 'unit' | 'layers'>;

/**
 * Learns what every weight loses at every size.
 *
 * @param graph of any batch, after lossless simplification.
 * @param layers of this graph.
 * @throws ShiboriError for a weight that is not finite.
 */
export async function analyseWeights(
  engine: Engine,
  graph: Graph,
  layers: readonly CompressibleLayer[],
  unit: BudgetUnit,
  options: WeightOnlyOptions = {},
): Promise<AnalysedWeights> {
  const { signal } = options;
  const products = engineProducts(engine);
  try {
    const sensitivities: LayerSensitivity[] = [];
    for (const [done, layer] of layers.entries()) {
      signal?.throwIfAborted();
      options.onLayer?.(layer.path, done, layers.length);
      sensitivities.push(await analyseWeight(layer, unit, options, products));
    }
    return { graph, unit, layers: sensitivities };
  } finally {
    await products.dispose();
  }
}

/** The cheapest options of all layers whose relative error is within a bound, 0…1; dense where there is none. */
export function findOptionsWithinError({ layers }: AnalysedWeights, error: number): ReadonlyMap<string, LayerOption> {
  return new Map(
    layers.flatMap(({ layer, options }) => {
      const found = options.find(({ loss }) => Math.sqrt(2 * loss) <= error);
      return found ? [[layer.path, found] as const] : [];
    }),
  );
}

/**
 * Spends an amount of the compact head's goal, or takes options that were chosen. `predicted` of each layer is half of its
 * relative squared error.
 *
 * @throws BudgetUnreachable when the amount is too small.
 */
export async function decomposeByWeights(
  engine: Engine,
  network: AnalysedWeights,
  amount: number | ReadonlyMap<string, LayerOption>,
  options: WeightOnlyOptions = {},
): Promise<DecomposedGraph> {
  const { graph, layers } = network;
  const { chosen, price: multiplier } =
    typeof amount === 'number' ? chooseLayerOptions(network, amount, estimateLossAlone) : { chosen: amount, price: 0 };
  const products = engineProducts(engine);
  try {
    const replace = new Map<Value, Replacement>();
    for (const { layer } of layers) {
      options.signal?.throwIfAborted();
      const option = chosen.get(layer.path);
      if (!option?.scheme) continue;
      const regression = await createWeightRegression(layer, 1, products);
      const fitted = await option.scheme.fit(layer, option.ranks, regression, buildIdentityMetric(layer), {}, products);
      replace.set(...buildReplacement(layer, fitted, layer.bias));
    }
    return { graph: rewrite(graph, { replace }), layers: listLayerOutcomes(layers, chosen), multiplier };
  } finally {
    await products.dispose();
  }
}
