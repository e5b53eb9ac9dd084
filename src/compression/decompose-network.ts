/*
 * A budget spent on a network that was analysed: options chosen by one loss estimate for all layers (`allocation.ts`), and layer after
 * layer fitted to the original's outputs (`refit.ts`). What is lost together is not the sum of what is lost alone, so the
 * whole may be measured, and the choice made again with another loss estimate (`rounds`).
 */
import type { Engine } from '../engine/engine.js';
import { engineProducts } from '../engine/matrix-products.js';
import { ShiboriError } from '../errors.js';
import type { Graph, Value } from '../graph/model.js';
import { listParameters } from '../graph/parameters.js';
import type { MatrixProducts } from '../linalg/products.js';
import { findScores } from '../ops/scores/scores.js';
import { type Replacement, rewrite } from '../passes/rewrite.js';
import type { Tensor } from '../tensor/tensor.js';
import { allocateBudget } from './budget-allocation.js';
import { countDenseParameters } from './compressible-layers.js';
import { computeMeanDivergence, describeScoreSource } from './kl-divergence.js';
import { type LayerOutcome, listLayerOutcomes } from './layer-outcome.js';
import { type RefitOptions, refitLayer } from './refit-layer.js';
import { type LayerSensitivity, takeFirstImages } from './sensitivity-analysis.js';
import {
  type BudgetUnit,
  createFittedLossEstimate,
  estimateLossAlone,
  type LayerOption,
  LOSS_LEFT_PER_FIT,
  type LossEstimate,
} from './sensitivity-curves.js';
import { ActivationStream } from './statistics/activation-stream.js';
import { SampleBuffer } from './statistics/layer-samples.js';

/** How a budget is spent. */
export interface DecompositionOptions {
  /** `false`: layers are fitted at the original's inputs, each as if it were compressed alone. */
  readonly refit?: RefitOptions | false;
  /**
   * How many ways of sharing the budget among layers are tried, each fitted and measured on the whole network; the one
   * that loses the least is taken. Default: 1, which measures nothing.
   */
  readonly rounds?: number;
  /** Told before each layer is fitted, of all rounds. */
  readonly onFit?: (path: string, done: number, total: number) => void;
  /** Called with what each of several rounds amounted to: mean KL in nats on calibration images. */
  readonly onRound?: (round: number, divergence: number, isBest: boolean) => void;
  /** Stops between layers. */
  readonly signal?: AbortSignal;
}

/** A network of which it is known what every layer contributes: any number of budgets may be spent on it. */
export interface AnalysedNetwork {
  readonly graph: Graph;
  readonly chunks: readonly Tensor[];
  readonly unit: BudgetUnit;
  readonly layers: readonly LayerSensitivity[];
}

/** A budget, spent. */
export interface DecomposedGraph {
  readonly graph: Graph;
  readonly layers: readonly LayerOutcome[];
  /** Loss in nats that one more unit of the budget would have saved. */
  readonly multiplier: number;
}

/** How choices are fitted, and who is reported. */
interface FitChoicesOptions extends Pick<DecompositionOptions, 'refit' | 'signal'> {
  onLayer?(path: string, done: number): void;
}

/** The graph with the choices made, fitted layer after layer. */
async function fitChoices(
  engine: Engine,
  { graph, chunks, layers }: AnalysedNetwork,
  chosen: ReadonlyMap<string, LayerOption>,
  { refit = {}, onLayer, signal }: FitChoicesOptions,
  products: MatrixProducts,
): Promise<Graph> {
  const original = new ActivationStream(engine, graph, chunks);
  // Up to the first layer that is replaced both are the same network.
  let compressed: ActivationStream | undefined;
  const replacements = new Map<Value, Replacement>();
  const buffers = { x: new SampleBuffer(), y: new SampleBuffer() };
  const fitted = layers.filter(({ layer, output }) => output && chosen.get(layer.path)?.scheme);
  for (const [i, { layer, output }] of layers.entries()) {
    signal?.throwIfAborted();
    onLayer?.(layer.path, i);
    const option = chosen.get(layer.path);
    if (!option?.scheme || !output) continue;
    const choice = { scheme: option.scheme, ranks: option.ranks };
    if (!compressed) await original.moveTo(layer.node);
    else if (refit) await compressed.moveTo(layer.node);
    compressed ??= original.copy();
    const streams = { original, compressed: refit ? compressed : original };
    const next = fitted[fitted.findIndex((each) => each.layer === layer) + 1]?.layer;
    const how = refit || { rectifiedRounds: 0 };
    const entry = await refitLayer(streams, layer, next, choice, output, how, buffers, products);
    replacements.set(...entry);
    compressed.replace(entry);
  }
  return rewrite(graph, { replace: replacements });
}

/** The options that an amount of the compact head's goal is best spent on. Throws `BudgetUnreachable` when it is too small. */
export function chooseLayerOptions(
  network: Pick<AnalysedNetwork, 'graph' | 'layers' | 'unit'>,
  amount: number,
  estimateLoss: LossEstimate,
) {
  const choices = network.layers.map(({ layer, options }, i, { length }) => ({
    path: layer.path,
    options: options.map((option) => ({ cost: option.cost, loss: estimateLoss(option, length - 1 - i), option })),
  }));
  const allocation = allocateBudget(choices, amount - countFixedCost(network));
  const chosen = new Map([...allocation.chosen].map(([path, { option }]) => [path, option]));
  return { chosen, price: allocation.multiplier };
}

/** The graph's cost that no compression changes. */
function countFixedCost({ graph, layers, unit }: Pick<AnalysedNetwork, 'graph' | 'layers' | 'unit'>): number {
  if (unit === 'multiplyAdds') return 0;
  const all = listParameters(graph).reduce(
    (sum, { tensor, kind }) => sum + (kind === 'parameter' ? tensor.data.length : 0),
    0,
  );
  return all - layers.reduce((sum, { layer }) => sum + countDenseParameters(layer), 0);
}

/** A way of sharing the budget, fitted. */
interface AllocationRound {
  readonly chosen: ReadonlyMap<string, LayerOption>;
  readonly graph: Graph;
  readonly multiplier: number;
  /** Mean KL in nats on calibration images; 0 where it was not measured. */
  readonly divergence: number;
}

/** How far the loss estimate is changed at a time, and how far at the most. */
const LOSS_LEFT_STEP = 0.05;
const LEAST_LOSS_LEFT_PER_FIT = 0.5;
const MOST_LOSS_LEFT_PER_FIT = 1.25;
/** Images that rounds are compared on; they are not fitted to. */
const ROUND_IMAGES = 300;

const hasSameRanks = (a: AllocationRound['chosen'], b: AllocationRound['chosen']): boolean =>
  [...a].every(([path, { scheme, ranks }]) => {
    const other = b.get(path);
    return other?.scheme === scheme && other?.ranks.join() === ranks.join();
  });

/** The best of several ways: to one side of the usual loss estimate as long as less is lost, or else to the other. */
async function findBestRound(
  engine: Engine,
  network: AnalysedNetwork,
  amount: number,
  options: DecompositionOptions,
  products: MatrixProducts,
): Promise<AllocationRound> {
  const { rounds = 1, onFit, onRound } = options;
  const count = network.layers.length;
  const first = takeFirstImages(network.chunks, ROUND_IMAGES);
  const rest = network.chunks.slice(first.length);
  const hasImagesApart = rounds > 1 && rest.length >= first.length;
  const fitted = hasImagesApart ? { ...network, chunks: rest } : network;
  const measured = hasImagesApart ? first : network.chunks;
  const predict = (graph: Graph) => new ActivationStream(engine, graph, measured).computeScores();
  const before = rounds > 1 ? await predict(network.graph) : [];
  const kinds = describeScoreSource(findScores(network.graph));
  let fits = 0;
  const fit = async ({
    chosen,
    price: multiplier,
  }: ReturnType<typeof chooseLayerOptions>): Promise<AllocationRound> => {
    const done = count * fits++;
    const run: FitChoicesOptions = { ...options, onLayer: (path, i) => onFit?.(path, done + i, rounds * count) };
    const graph = await fitChoices(engine, fitted, chosen, run, products);
    const divergence = rounds > 1 ? computeMeanDivergence(before, await predict(graph), kinds) : 0;
    return { chosen, graph, multiplier, divergence };
  };
  const usual = await fit(
    chooseLayerOptions(
      network,
      amount,
      options.refit === false ? estimateLossAlone : createFittedLossEstimate(LOSS_LEFT_PER_FIT),
    ),
  );
  if (rounds > 1) onRound?.(fits, usual.divergence, true);
  let best = usual;
  for (const side of [LOSS_LEFT_STEP, -LOSS_LEFT_STEP]) {
    let lossLeft = LOSS_LEFT_PER_FIT + side;
    for (; fits < rounds && lossLeft > LEAST_LOSS_LEFT_PER_FIT && lossLeft < MOST_LOSS_LEFT_PER_FIT; lossLeft += side) {
      const choice = chooseLayerOptions(network, amount, createFittedLossEstimate(lossLeft));
      if (hasSameRanks(best.chosen, choice.chosen)) continue;
      const next = await fit(choice);
      const isBest = next.divergence < best.divergence;
      onRound?.(fits, next.divergence, isBest);
      if (!isBest) break;
      best = next;
    }
    if (best !== usual) break;
  }
  return best;
}

/**
 * Spends an amount of its goal on a network.
 *
 * @throws BudgetUnreachable when it cannot be made so small, ShiboriError for less than one round.
 */
export async function decomposeNetwork(
  engine: Engine,
  network: AnalysedNetwork,
  amount: number,
  options: DecompositionOptions,
): Promise<DecomposedGraph> {
  const { refit, rounds = 1 } = options;
  if (rounds < 1)
    throw new ShiboriError(`Squeezing takes at least one round, asked for ${rounds}.`, { code: 'unsupported-model' });
  const products = engineProducts(engine);
  try {
    const { graph, chosen, multiplier } = await findBestRound(
      engine,
      network,
      amount,
      { ...options, rounds: refit === false ? 1 : rounds },
      products,
    );
    return { graph, layers: listLayerOutcomes(network.layers, chosen), multiplier };
  } finally {
    await products.dispose();
  }
}
