/*
 * A budget spent on a network that was studied: options chosen by one price for all layers (`allocation.ts`), and layer after
 * layer fitted to the original's outputs (`refit.ts`). What is lost together is not the sum of what is lost alone, so the
 * whole may be measured, and the choice made again with another price (`rounds`).
 */
import type { Engine } from '../engine/engine.js';
import { engineProducts } from '../engine/matrix-products.js';
import { ShiboriError } from '../errors.js';
import type { Graph, Value } from '../graph/model.js';
import { parametersOf } from '../graph/parameters.js';
import type { MatrixProducts } from '../linalg/products.js';
import { scoresOf } from '../ops/scores/scores.js';
import { type Replacement, rewrite } from '../passes/rewrite.js';
import type { Tensor } from '../tensor/tensor.js';
import { allocate } from './allocation.js';
import { fittedPrice, type Goal, type LayerOption, LEFT_BY_FIT, type Price, priceAlone } from './curves.js';
import { meanDivergence, sourceKinds } from './divergence.js';
import { type RefitOptions, refitLayer } from './refit.js';
import { denseParameters } from './squeeze-layer.js';
import { type SqueezedLayer, squeezedLayers } from './squeezed-layer.js';
import { ActivationStream } from './statistics/activation-stream.js';
import { SampleSpace } from './statistics/samples.js';
import { firstImages, type StudiedLayer } from './study.js';

/** How a budget is spent. */
export interface SpendOptions {
  /** `false`: layers are fitted at the original's inputs, each as if it were squeezed alone. */
  readonly refit?: RefitOptions | false;
  /**
   * How many ways of sharing the budget among layers are tried, each fitted and measured on the whole network; the one
   * that loses the least is taken. Default: 1, which measures nothing.
   */
  readonly rounds?: number;
  /** Told before each layer is fitted, of all rounds. */
  readonly onFit?: (path: string, done: number, total: number) => void;
  /** Told what each of several rounds came to: mean KL in nats on calibration images. */
  readonly onRound?: (round: number, divergence: number, isBest: boolean) => void;
  /** Stops between layers. */
  readonly signal?: AbortSignal;
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

/** How choices are fitted, and who is told. */
interface FitRun extends Pick<SpendOptions, 'refit' | 'signal'> {
  onLayer?(path: string, done: number): void;
}

/** The graph with the choices made, fitted layer after layer. */
async function fitChoices(
  engine: Engine,
  { graph, chunks, layers }: StudiedNetwork,
  chosen: ReadonlyMap<string, LayerOption>,
  { refit = {}, onLayer, signal }: FitRun,
  products: MatrixProducts,
): Promise<Graph> {
  const original = new ActivationStream(engine, graph, chunks);
  // Up to the first layer that is replaced both are the same network.
  let squeezed: ActivationStream | undefined;
  const replacements = new Map<Value, Replacement>();
  const spaces = { x: new SampleSpace(), y: new SampleSpace() };
  const fitted = layers.filter(({ layer, output }) => output && chosen.get(layer.path)?.scheme);
  for (const [i, { layer, output }] of layers.entries()) {
    signal?.throwIfAborted();
    onLayer?.(layer.path, i);
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

/** The options that an amount of the study's goal is best spent on. Throws `BudgetUnreachable` when it is too small. */
export function spend(network: Pick<StudiedNetwork, 'graph' | 'layers' | 'goal'>, amount: number, price: Price) {
  const choices = network.layers.map(({ layer, options }, i, { length }) => ({
    path: layer.path,
    options: options.map((option) => ({ cost: option.cost, loss: price(option, length - 1 - i), option })),
  }));
  const allocation = allocate(choices, amount - fixedCost(network));
  const chosen = new Map([...allocation.chosen].map(([path, { option }]) => [path, option]));
  return { chosen, price: allocation.price };
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

/** A way of sharing the budget, fitted. */
interface Round {
  readonly chosen: ReadonlyMap<string, LayerOption>;
  readonly graph: Graph;
  readonly price: number;
  /** Mean KL in nats on calibration images; 0 where it was not measured. */
  readonly divergence: number;
}

/** How far the price is changed at a time, and how far at the most. */
const ROUND_STEP = 0.05;
const LEAST_LEFT_BY_FIT = 0.5;
const MOST_LEFT_BY_FIT = 1.25;
/** Images that rounds are compared on; they are not fitted to. */
const ROUND_IMAGES = 300;

const sameRanks = (a: Round['chosen'], b: Round['chosen']): boolean =>
  [...a].every(([path, { scheme, ranks }]) => {
    const other = b.get(path);
    return other?.scheme === scheme && other?.ranks.join() === ranks.join();
  });

/** The best of several ways: to one side of the usual price as long as less is lost, or else to the other. */
async function bestRound(
  engine: Engine,
  network: StudiedNetwork,
  amount: number,
  options: SpendOptions,
  products: MatrixProducts,
): Promise<Round> {
  const { rounds = 1, onFit, onRound } = options;
  const count = network.layers.length;
  const first = firstImages(network.chunks, ROUND_IMAGES);
  const rest = network.chunks.slice(first.length);
  const apart = rounds > 1 && rest.length >= first.length;
  const fitted = apart ? { ...network, chunks: rest } : network;
  const measured = apart ? first : network.chunks;
  const predict = (graph: Graph) => new ActivationStream(engine, graph, measured).scores();
  const before = rounds > 1 ? await predict(network.graph) : [];
  const kinds = sourceKinds(scoresOf(network.graph));
  let fits = 0;
  const fit = async ({ chosen, price }: ReturnType<typeof spend>): Promise<Round> => {
    const done = count * fits++;
    const run: FitRun = { ...options, onLayer: (path, i) => onFit?.(path, done + i, rounds * count) };
    const graph = await fitChoices(engine, fitted, chosen, run, products);
    const divergence = rounds > 1 ? meanDivergence(before, await predict(graph), kinds) : 0;
    return { chosen, graph, price, divergence };
  };
  const usual = await fit(spend(network, amount, options.refit === false ? priceAlone : fittedPrice(LEFT_BY_FIT)));
  if (rounds > 1) onRound?.(fits, usual.divergence, true);
  let best = usual;
  for (const side of [ROUND_STEP, -ROUND_STEP]) {
    let left = LEFT_BY_FIT + side;
    for (; fits < rounds && left > LEAST_LEFT_BY_FIT && left < MOST_LEFT_BY_FIT; left += side) {
      const spent = spend(network, amount, fittedPrice(left));
      if (sameRanks(best.chosen, spent.chosen)) continue;
      const next = await fit(spent);
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
export async function spendBudget(
  engine: Engine,
  network: StudiedNetwork,
  amount: number,
  options: SpendOptions,
): Promise<Spent> {
  const { refit, rounds = 1 } = options;
  if (rounds < 1)
    throw new ShiboriError(`Squeezing takes at least one round, asked for ${rounds}.`, { code: 'unsupported-model' });
  const products = engineProducts(engine);
  try {
    const { graph, chosen, price } = await bestRound(
      engine,
      network,
      amount,
      { ...options, rounds: refit === false ? 1 : rounds },
      products,
    );
    return { graph, layers: squeezedLayers(network.layers, chosen), price };
  } finally {
    await products.dispose();
  }
}
