/*
 * The smallest loss for a budget: fold what is free, learn what each layer is worth, spend the budget, fit what is left.
 *   1. exact savings                                            fold-exact.ts
 *   2. second moments of gradients and inputs                   statistics/
 *   3. a curve for each layer, measured at a few points         study.ts, curves.ts, schemes/
 *   4. one Lagrangian for all layers                            spend.ts, allocation.ts
 *   5. layer after layer fitted to the original's outputs       refit.ts
 */
import type { Engine } from '../engine/engine.js';
import { engineProducts } from '../engine/matrix-products.js';
import { ShiboriError } from '../errors.js';
import type { Graph } from '../graph/model.js';
import { fitsPattern } from '../graph/module-path.js';
import type { FoldNote } from '../passes/fold.js';
import { ofAnyBatch } from '../passes/free-batch.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Goal } from './curves.js';
import { foldExact } from './fold-exact.js';
import { type SpendOptions, type Spent, type StudiedNetwork, spendBudget } from './spend.js';
import { type Refusal, type SqueezeLayer, squeezeLayers } from './squeeze-layer.js';
import { type StudyOptions, studyLayers } from './study.js';

/** What a squeezed model may cost: parameters, or multiply-adds of one image. */
export interface Budget {
  readonly goal: Goal;
  readonly amount: number;
}

/** How far a squeeze has come. */
export interface SqueezeProgress {
  readonly stage: 'fold' | 'gradients' | 'curves' | 'refit';
  readonly done: number;
  readonly total: number;
  readonly layer?: string;
}

/** Everything but the goal; every number has a default that suits ImageNet-like classifiers. */
export interface SqueezeOptions extends Omit<StudyOptions, 'onLayer'>, Omit<SpendOptions, 'onFit'> {
  /** Layers to squeeze, patterns as in `fitsPattern`. Default: all. */
  readonly layers?: readonly string[];
  /** Told before each layer. */
  onProgress?(progress: SqueezeProgress): void;
}

/** A squeezed graph, and why it is as it is. */
export interface Squeezed extends Spent {
  readonly refused: readonly Refusal[];
  readonly folds: readonly FoldNote[];
}

/**
 * Learns what every layer is worth to a goal.
 *
 * @param graph of any batch, after exact savings.
 * @param layers of this graph.
 * @param chunks calibration images: batches `[n, C, H, W]` as the model takes them.
 * @throws ShiboriError when there is no image, or when statistics are not finite.
 */
export async function studyNetwork(
  engine: Engine,
  graph: Graph,
  layers: readonly SqueezeLayer[],
  chunks: readonly Tensor[],
  goal: Goal,
  options: SqueezeOptions,
): Promise<StudiedNetwork> {
  if (chunks.length === 0)
    throw new ShiboriError('Squeezing needs calibration images, found none.', { code: 'unsupported-model' });
  let hasBegun = false;
  const study: StudyOptions = {
    ...options,
    onLayer(layer, done) {
      hasBegun = true;
      options.signal?.throwIfAborted();
      options.onProgress?.({ stage: 'curves', done, total: layers.length, layer });
    },
  };
  options.onProgress?.({ stage: 'gradients', done: 0, total: 1 });
  const products = engineProducts(engine);
  try {
    const studied = await studyLayers(engine, graph, layers, chunks, goal, study, products);
    // Nothing is reported of layers whose curves were kept.
    if (hasBegun) options.onProgress?.({ stage: 'curves', done: layers.length, total: layers.length });
    return { graph, chunks, goal, layers: studied };
  } finally {
    await products.dispose();
  }
}

/**
 * Squeezes a classifier to a budget without a gradient step. The same images, options and seed give the same graph.
 *
 * @param calibration some hundred to a few thousand training images: batches `[n, C, H, W]` as the model takes them.
 * @returns the graph, what became of each layer and why.
 * @throws ShiboriError when there is no image or no layer, when statistics are not finite, or when the budget cannot be
 *   met (says what can).
 */
export async function squeezeToBudget(
  engine: Engine,
  model: Graph,
  calibration: readonly Tensor[],
  { goal, amount }: Budget,
  options: SqueezeOptions,
): Promise<Squeezed> {
  options.onProgress?.({ stage: 'fold', done: 0, total: 1 });
  const { graph, notes } = await foldExact(engine, ofAnyBatch(model));
  const patterns = options.layers ?? ['*'];
  const { layers: all, refused } = squeezeLayers(graph);
  const layers = all.filter(({ path }) => patterns.some((pattern) => fitsPattern(path, pattern)));
  if (layers.length === 0)
    throw new ShiboriError(`No layer can be squeezed: ${patterns.join(', ')} fits none.`, {
      code: 'unsupported-model',
    });
  const network = await studyNetwork(engine, graph, layers, calibration, goal, options);
  const spent = await spendBudget(engine, network, amount, {
    ...options,
    onFit: (path, done, total) => options.onProgress?.({ stage: 'refit', done, total, layer: path }),
  });
  return { ...spent, refused, folds: notes };
}
