/*
 * The smallest loss for a budget: fold what is free, learn what each layer is worth, spend the budget, fit what is left.
 *   1. exact savings                                            fold-exact.ts
 *   2. second moments of gradients and inputs                   second-moments.ts
 *   3. a curve for each layer, measured at a few points         curves.ts
 *   4. one Lagrangian for all layers                            allocation.ts
 *   5. layer after layer fitted to the original's outputs       refit.ts
 */
import type { Engine } from '../engine/engine.js';
import { engineProducts } from '../engine/matrix-products.js';
import { ShiboriError } from '../errors.js';
import type { Graph, Value } from '../graph/model.js';
import { fitsPattern } from '../graph/module-path.js';
import { parametersOf } from '../graph/parameters.js';
import type { MatrixProducts } from '../linalg/products.js';
import type { FoldNote } from '../passes/fold.js';
import { ofAnyBatch, type Replacement, rewrite } from '../passes/rewrite.js';
import type { Tensor } from '../tensor/tensor.js';
import { ActivationStream } from './activation-stream.js';
import { allocate, type Choices } from './allocation.js';
import type { Goal, LayerOption, MeasuredPoint } from './curves.js';
import { foldExact } from './fold-exact.js';
import { type RefitOptions, refitLayer } from './refit.js';
import { SampleSpace } from './samples.js';
import type { SchemeName } from './scheme.js';
import { denseParameters, type Refusal, type SqueezeLayer, squeezeLayers } from './squeeze-layer.js';
import { type StudiedLayer, type StudyOptions, studyLayers } from './study.js';
import type { BondEnergies } from './tails.js';

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
export interface SqueezeOptions extends Omit<StudyOptions, 'onLayer'> {
  /** Layers to squeeze, patterns as in `fitsPattern`. Default: all. */
  readonly layers?: readonly string[];
  /** `false`: layers are fitted at the original's inputs, each as if it were squeezed alone. */
  readonly refit?: RefitOptions | false;
  /** Told before each layer. */
  onProgress?(progress: SqueezeProgress): void;
  /** Stops between layers. */
  readonly signal?: AbortSignal;
}

/** The spectrum of a bond; `rank` where the scheme that was chosen cuts it. */
export interface CutSpectrum extends BondEnergies {
  readonly rank?: number;
}

/** What became of one layer. */
export interface SqueezedLayer {
  readonly path: string;
  /** `undefined`: left dense. */
  readonly scheme: SchemeName | undefined;
  readonly ranks: readonly number[];
  readonly parametersBefore: number;
  readonly parameters: number;
  readonly multiplyAddsBefore: number;
  readonly multiplyAdds: number;
  /** KL in nats: by the moments alone, and put right by the points measured. */
  readonly predicted: number;
  readonly expected: number;
  readonly measured: readonly MeasuredPoint[];
  /** What its bonds are worth, and the rank that each was cut to. */
  readonly spectra: readonly CutSpectrum[];
  /** Why it was left dense. */
  readonly reason?: string;
}

/** A network of which it is known what every layer is worth: any number of budgets may be spent on it. */
export interface StudiedNetwork {
  readonly graph: Graph;
  readonly chunks: readonly Tensor[];
  readonly goal: Goal;
  readonly layers: readonly StudiedLayer[];
}

/** A budget, spent. */
export interface Spent {
  readonly graph: Graph;
  readonly layers: readonly SqueezedLayer[];
  /** Loss in nats that one more unit of the budget would have saved. */
  readonly price: number;
}

/** A squeezed graph, and why it is as it is. */
export interface Squeezed extends Spent {
  readonly refused: readonly Refusal[];
  readonly folds: readonly FoldNote[];
}

/** The graph with the choices made, fitted layer after layer. */
async function fitChoices(
  engine: Engine,
  { graph, chunks, layers }: StudiedNetwork,
  chosen: ReadonlyMap<string, LayerOption>,
  options: SqueezeOptions,
  products: MatrixProducts,
): Promise<Graph> {
  const { refit = {} } = options;
  const original = new ActivationStream(engine, graph, chunks);
  // Up to the first layer that is replaced both are the same network.
  let squeezed: ActivationStream | undefined;
  const replacements = new Map<Value, Replacement>();
  const spaces = { x: new SampleSpace(), y: new SampleSpace() };
  const fitted = layers.filter(({ layer, output }) => output && chosen.get(layer.path)?.scheme);
  for (const [i, { layer, output }] of layers.entries()) {
    options.signal?.throwIfAborted();
    options.onProgress?.({ stage: 'refit', done: i, total: layers.length, layer: layer.path });
    const option = chosen.get(layer.path);
    if (!option?.scheme || !output) continue;
    const choice = { scheme: option.scheme, ranks: option.ranks };
    if (!squeezed) await original.moveTo(layer.node);
    else if (refit) await squeezed.moveTo(layer.node);
    squeezed ??= original.copy();
    const streams = { original, squeezed: refit ? squeezed : original };
    const next = fitted[fitted.findIndex((each) => each.layer === layer) + 1]?.layer;
    const how = refit || { rectifiedRounds: 0 };
    const entry = await refitLayer(streams, layer, next, choice, output, how, spaces, products);
    replacements.set(...entry);
    squeezed.replace(entry);
  }
  return rewrite(graph, { replace: replacements });
}

/** What became of a layer of which an option was chosen. */
export function squeezedLayer(
  { layer, measured, spectra, options, reason }: StudiedLayer,
  option: LayerOption,
): SqueezedLayer {
  const dense = options.at(-1) ?? option;
  const alone = options.length === 1;
  const why =
    reason ??
    (alone ? 'no scheme is smaller than the layer itself' : 'its parameters save more loss than they would elsewhere');
  return {
    path: layer.path,
    scheme: option.scheme?.name,
    ranks: option.ranks,
    parametersBefore: dense.parameters,
    parameters: option.parameters,
    multiplyAddsBefore: dense.multiplyAdds,
    multiplyAdds: option.multiplyAdds,
    predicted: option.predicted,
    expected: option.loss,
    measured,
    spectra: spectra.map((spectrum) => {
      const rank = option.ranks[option.scheme?.bonds.indexOf(spectrum.bond) ?? -1];
      return { ...spectrum, ...(rank === undefined ? {} : { rank }) };
    }),
    ...(option.scheme ? {} : { reason: why }),
  };
}

/** What became of each layer of which an option was chosen. */
export function squeezedLayers(
  layers: readonly StudiedLayer[],
  chosen: ReadonlyMap<string, LayerOption>,
): SqueezedLayer[] {
  return layers.flatMap((each) => {
    const option = chosen.get(each.layer.path);
    return option ? [squeezedLayer(each, option)] : [];
  });
}

/** The options that an amount of the study's goal is best spent on. Throws `BudgetUnreachable` when it is too small. */
export function spend(network: Pick<StudiedNetwork, 'graph' | 'layers' | 'goal'>, amount: number) {
  const choices = network.layers.map(
    (each): Choices<LayerOption> => ({ path: each.layer.path, options: each.options }),
  );
  return allocate(choices, amount - fixedCost(network));
}

/** The graph's cost that no squeezing changes. */
function fixedCost({ graph, layers, goal }: Pick<StudiedNetwork, 'graph' | 'layers' | 'goal'>): number {
  if (goal === 'multiplyAdds') return 0;
  const all = parametersOf(graph).reduce(
    (sum, { tensor, kind }) => sum + (kind === 'parameter' ? tensor.data.length : 0),
    0,
  );
  return all - layers.reduce((sum, { layer }) => sum + denseParameters(layer), 0);
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
  if (chunks.length === 0) throw new ShiboriError('Squeezing needs calibration images, found none.');
  const study: StudyOptions = {
    ...options,
    onLayer(layer, done) {
      options.signal?.throwIfAborted();
      options.onProgress?.({ stage: 'curves', done, total: layers.length, layer });
    },
  };
  options.onProgress?.({ stage: 'gradients', done: 0, total: 1 });
  const products = engineProducts(engine);
  try {
    const studied = await studyLayers(engine, graph, layers, chunks, goal, study, products);
    return { graph, chunks, goal, layers: studied };
  } finally {
    await products.dispose();
  }
}

/**
 * Spends an amount of its goal on a network.
 *
 * @throws BudgetUnreachable when it cannot be made so small.
 */
export async function spendBudget(
  engine: Engine,
  network: StudiedNetwork,
  amount: number,
  options: SqueezeOptions,
): Promise<Spent> {
  const { chosen, price } = spend(network, amount);
  const products = engineProducts(engine);
  try {
    const squeezed = await fitChoices(engine, network, chosen, options, products);
    return { graph: squeezed, layers: squeezedLayers(network.layers, chosen), price };
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
  if (layers.length === 0) throw new ShiboriError(`No layer can be squeezed: ${patterns.join(', ')} fits none.`);
  const network = await studyNetwork(engine, graph, layers, calibration, goal, options);
  return { ...(await spendBudget(engine, network, amount, options)), refused, folds: notes };
}
