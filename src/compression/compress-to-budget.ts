/*
 * The smallest loss for a budget: fold what is free, learn what each layer contributes, spend the budget, fit what is left.
 *   1. lossless simplification                                            fold-exact.ts
 *   2. second moments of gradients and inputs                   statistics/
 *   3. a curve for each layer, measured at a few points         analysis.ts, curves.ts, schemes/
 *   4. one Lagrangian for all layers                            spend.ts, allocation.ts
 *   5. layer after layer fitted to the original's outputs       refit.ts
 */
import type { Engine } from '../engine/engine.js';
import { engineProducts } from '../engine/matrix-products.js';
import { ShiboriError } from '../errors.js';
import type { Graph } from '../graph/model.js';
import { matchesPattern } from '../graph/module-path.js';
import { bindSymbolicBatch } from '../passes/free-batch.js';
import type { Note } from '../passes/pass.js';
import type { Tensor } from '../tensor/tensor.js';
import { type CompressibleLayer, findCompressibleLayers, type RefusedLayer } from './compressible-layers.js';
import {
  type AnalysedNetwork,
  type DecomposedGraph,
  type DecompositionOptions,
  decomposeNetwork,
} from './decompose-network.js';
import { analyseLayers, type SensitivityOptions } from './sensitivity-analysis.js';
import type { BudgetUnit } from './sensitivity-curves.js';
import { simplifyLosslessly } from './simplify-losslessly.js';

/** What a compressed model may cost: parameters, or MACs of one image. */
export interface Budget {
  readonly unit: BudgetUnit;
  readonly amount: number;
}

/** How far a compression has come. */
export interface CompressionProgress {
  readonly phase: 'fold' | 'gradients' | 'curves' | 'refit';
  readonly done: number;
  readonly total: number;
  readonly layer?: string;
}

/** Everything but the goal; every number has a default that suits ImageNet-like classifiers. */
export interface CompressToBudgetOptions
  extends Omit<SensitivityOptions, 'onLayer'>,
    Omit<DecompositionOptions, 'onFit'> {
  /** Layers to compress, patterns as in `fitsPattern`. Default: all. */
  readonly layers?: readonly string[];
  /** Told before each layer. */
  onProgress?(progress: CompressionProgress): void;
}

/** A compressed graph, and why it is as it is. */
export interface CompressedGraph extends DecomposedGraph {
  readonly refused: readonly RefusedLayer[];
  readonly folds: readonly Note[];
}

/**
 * Learns what every layer contributes to a goal.
 *
 * @param graph of any batch, after lossless simplification.
 * @param layers of this graph.
 * @param chunks calibration images: batches `[n, C, H, W]` as the model takes them.
 * @throws ShiboriError when there is no image, or when statistics are not finite.
 */
export async function analyseNetwork(
  engine: Engine,
  graph: Graph,
  layers: readonly CompressibleLayer[],
  chunks: readonly Tensor[],
  unit: BudgetUnit,
  options: CompressToBudgetOptions,
): Promise<AnalysedNetwork> {
  if (chunks.length === 0)
    throw new ShiboriError('Squeezing needs calibration images, found none.', { code: 'unsupported-model' });
  let hasBegun = false;
  const sensitivityOptions: SensitivityOptions = {
    ...options,
    onLayer(layer, done) {
      hasBegun = true;
      options.signal?.throwIfAborted();
      options.onProgress?.({ phase: 'curves', done, total: layers.length, layer });
    },
  };
  options.onProgress?.({ phase: 'gradients', done: 0, total: 1 });
  const products = engineProducts(engine);
  try {
    const sensitivities = await analyseLayers(engine, graph, layers, chunks, unit, sensitivityOptions, products);
    // Nothing is reported of layers whose curves were kept.
    if (hasBegun) options.onProgress?.({ phase: 'curves', done: layers.length, total: layers.length });
    return { graph, chunks, unit, layers: sensitivities };
  } finally {
    await products.dispose();
  }
}

/**
 * Compresses a classifier to a budget without a gradient step. The same images, options and seed give the same graph.
 *
 * @param calibration some hundred to a few thousand training images: batches `[n, C, H, W]` as the model takes them.
 * @returns the graph, what became of each layer and why.
 * @throws ShiboriError when there is no image or no layer, when statistics are not finite, or when the budget cannot be
 *   met (says what can).
 */
export async function compressToBudget(
  engine: Engine,
  model: Graph,
  calibration: readonly Tensor[],
  { unit, amount }: Budget,
  options: CompressToBudgetOptions,
): Promise<CompressedGraph> {
  options.onProgress?.({ phase: 'fold', done: 0, total: 1 });
  const { graph, notes } = await simplifyLosslessly(engine, bindSymbolicBatch(model).graph);
  const patterns = options.layers ?? ['*'];
  const { layers: all, refused } = findCompressibleLayers(graph);
  const layers = all.filter(({ path }) => patterns.some((pattern) => matchesPattern(path, pattern)));
  if (layers.length === 0)
    throw new ShiboriError(`No layer can be squeezed: ${patterns.join(', ')} fits none.`, {
      code: 'unsupported-model',
    });
  const network = await analyseNetwork(engine, graph, layers, calibration, unit, options);
  const decomposed = await decomposeNetwork(engine, network, amount, {
    ...options,
    onFit: (path, done, total) => options.onProgress?.({ phase: 'refit', done, total, layer: path }),
  });
  return { ...decomposed, refused, folds: notes };
}
