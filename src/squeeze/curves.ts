/*
 * What a layer is predicted to cost at every rank, in every scheme: ½ of the sum of what its bonds discard (a bound on
 * what the train loses, in the metric of `whitened.ts`), put right by measuring a few points. On linear layers the
 * prediction holds almost to the digit; on convolutions it is several times too low, since K-FAC takes the positions of
 * one image for independent.
 */

import { selectColumns } from '../linalg/matrix.js';
import type { MatrixProducts } from '../linalg/products.js';
import { range, sizeOf } from '../tensor/dims.js';
import { type Option, paretoFront } from './allocation.js';
import { fitRanks, type Scheme, type SchemeName, schemeMultiplyAdds, schemeParameters, schemes } from './schemes.js';
import { denseMultiplyAdds, denseParameters, type SqueezeLayer } from './squeeze-layer.js';
import { discardedMass, innerCore, outputSpectrum, type Stage, throughCore } from './whitened.js';

/** A layer in a scheme at some ranks, or left dense. */
export interface LayerOption extends Option {
  readonly scheme: Scheme | undefined;
  readonly ranks: readonly number[];
  readonly parameters: number;
  readonly multiplyAdds: number;
  /** The prediction before it was put right. */
  readonly predicted: number;
}

/** What a budget counts. Bytes are four a parameter. */
export type Goal = 'parameters' | 'multiplyAdds';

/** Channels kept on either side while the spectrum of the bond between a kernel's axes is computed. */
const CORE_CHANNELS = 160;

/** Mass discarded by a bond of each rank, from 0 on. */
interface Tails {
  readonly input?: Float64Array;
  readonly middle?: Float64Array;
  readonly output: Float64Array;
}

async function tailsOf(layer: SqueezeLayer, stage: Stage, products: MatrixProducts): Promise<Tails> {
  const spectrum = await outputSpectrum(stage, products);
  const output = discardedMass(spectrum);
  const kernel = sizeOf(layer.kernel);
  if (kernel === 1) return { output };
  const kept = Math.min(CORE_CHANNELS, layer.inputs);
  const chosen = await innerCore(stage, kernel, kept, products);
  const input = discardedMass(chosen);
  if (layer.kernel[0] === 1 || layer.kernel[1] === 1) return { input, output };
  const behind = await throughCore(stage, chosen.core, products);
  const outs = Math.min(CORE_CHANNELS, layer.outputs);
  const directions = selectColumns(spectrum.directions, range(outs));
  const core: Stage = {
    gram: behind.gram,
    cross: await products.multiply(behind.cross, directions, {}),
    target: await products.multiply(behind.target, directions, {}),
  };
  const left = behind.gram.rows / layer.kernel[1];
  const middle = discardedMass(
    await innerCore(core, layer.kernel[1], Math.min(left, outs * layer.kernel[1]), products),
  );
  // What the restriction to the kept channels has lost already.
  const lost = (input[kept] ?? 0) + (output[outs] ?? 0);
  return { input, middle: middle.map((mass) => mass + lost), output };
}

/** Which tails bound each scheme's bonds. */
const bondTails: Readonly<Record<SchemeName, readonly (keyof Tails)[]>> = {
  svd: ['output'],
  'svd-input': ['input'],
  spatial: ['middle'],
  tucker2: ['input', 'output'],
  'tt-conv': ['input', 'middle', 'output'],
};

/** Ranks worth looking at: runtimes lay channels out in eights, and nobody needs to tell 200 from 201. */
function ranksUpTo(most: number): number[] {
  const ranks: number[] = [];
  for (let rank = 1; rank <= most; ) {
    ranks.push(rank);
    rank += rank < 8 ? 1 : rank < 32 ? 4 : rank < 192 ? 8 : 32;
  }
  return ranks;
}

function combinations(lists: readonly (readonly number[])[]): number[][] {
  return lists.reduce<number[][]>((all, list) => all.flatMap((before) => list.map((rank) => [...before, rank])), [[]]);
}

/** The layer as it is. */
export function denseOption(layer: SqueezeLayer, goal: Goal): LayerOption {
  const parameters = denseParameters(layer);
  const multiplyAdds = denseMultiplyAdds(layer);
  const cost = goal === 'parameters' ? parameters : multiplyAdds;
  return { scheme: undefined, ranks: [], parameters, multiplyAdds, cost, predicted: 0, loss: 0 };
}

/**
 * The options of a layer that no other beats, cheapest first, `dense` last: `loss` is the prediction.
 *
 * @param allowed names of schemes to consider.
 */
export async function predictedOptions(
  layer: SqueezeLayer,
  stage: Stage,
  goal: Goal,
  allowed: readonly SchemeName[],
  products: MatrixProducts,
): Promise<LayerOption[]> {
  const tails = await tailsOf(layer, stage, products);
  const dense = denseOption(layer, goal);
  const biases = layer.bias?.length ?? 0;
  const found: LayerOption[] = [dense];
  for (const name of allowed) {
    const scheme = schemes[name];
    const bonds = bondTails[name].map((bond) => tails[bond]);
    if (scheme.refuses(layer) !== undefined || bonds.includes(undefined)) continue;
    const options: LayerOption[] = [];
    for (const ranks of combinations(fitRanks(scheme, layer).map(ranksUpTo))) {
      const parameters = schemeParameters(scheme, layer, ranks) + biases;
      const multiplyAdds = schemeMultiplyAdds(scheme, layer, ranks);
      const cost = goal === 'parameters' ? parameters : multiplyAdds;
      if (cost >= dense.cost || fitRanks(scheme, layer, ranks).some((rank, k) => rank !== ranks[k])) continue;
      let mass = 0;
      for (const [k, bond] of bonds.entries()) mass += bond?.[Math.min(ranks[k] ?? 0, bond.length - 1)] ?? 0;
      options.push({ scheme, ranks, parameters, multiplyAdds, cost, predicted: mass / 2, loss: mass / 2 });
    }
    found.push(...paretoFront(options));
  }
  return paretoFront(found);
}

/** What a point of a curve was measured to cost. */
export interface MeasuredPoint {
  readonly predicted: number;
  readonly measured: number;
}

/**
 * The options with their losses put right: between measured points the logarithms are interpolated, below the smallest
 * prediction measured the ratio stays as it is there. Options that are predicted to lose more than the worst point
 * measured are dropped: nobody knows how much they would.
 */
export function correctedOptions(options: readonly LayerOption[], points: readonly MeasuredPoint[]): LayerOption[] {
  const sorted = [...points].filter(({ predicted }) => predicted > 0).sort((a, b) => a.predicted - b.predicted);
  // Measured on a few hundred images, a better point may come out worse by chance.
  let most = 0;
  const rising = sorted.map(({ predicted, measured }) => {
    most = Math.max(most, measured, LEAST_LOSS);
    return { predicted, measured: most };
  });
  const [first] = rising;
  const last = rising.at(-1);
  if (!first || !last) return options.filter(({ scheme }) => scheme === undefined);
  return options.flatMap((option) => {
    const { predicted } = option;
    if (option.scheme === undefined) return [option];
    if (predicted > last.predicted * (1 + 1e-9)) return [];
    if (predicted <= first.predicted) return [{ ...option, loss: (predicted * first.measured) / first.predicted }];
    const at = rising.findIndex((point) => point.predicted >= predicted);
    const [a, b] = [rising[at - 1] ?? first, rising[at] ?? last];
    const share = Math.log(predicted / a.predicted) / Math.log(b.predicted / a.predicted);
    return [{ ...option, loss: a.measured * (b.measured / a.measured) ** share }];
  });
}

/** Below this a difference is rounding. */
const LEAST_LOSS = 1e-9;

/** The options nearest to these shares of the dense cost, each once, cheapest first. */
export function pointsToMeasure(options: readonly LayerOption[], shares: readonly number[]): LayerOption[] {
  const dense = options.find(({ scheme }) => scheme === undefined);
  const others = options.filter(({ scheme }) => scheme !== undefined);
  if (!dense) return [];
  const distance = ({ cost }: LayerOption, share: number): number => Math.abs(Math.log(cost / (share * dense.cost)));
  const picked = shares.flatMap((share) =>
    others.reduce<LayerOption[]>(
      ([best], option) => [best && distance(best, share) <= distance(option, share) ? best : option],
      [],
    ),
  );
  return [...new Set(picked)].sort((a, b) => a.cost - b.cost);
}
