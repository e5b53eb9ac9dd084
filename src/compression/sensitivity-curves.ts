/*
 * What a layer is predicted to cost at every rank, in every scheme: ½ of the sum of what its ranks discard (a bound on
 * what the train loses, in the metric of `whitened.ts`), and what replacing it alone costs by a few points measured. On
 * linear layers the two agree almost to the digit; on convolutions the second is several times the first, since K-FAC takes
 * the positions of one image for independent. What makes the difference is an error that all positions have in common, and
 * fitting the layers one after another takes most of that out again: see `fittedPrice`.
 */

import { type CostedOption, findParetoFront } from './budget-allocation.js';
import { type CompressibleLayer, countDenseMacs, countDenseParameters } from './compressible-layers.js';
import type { DecompositionScheme, SchemeInput, SchemeName } from './schemes/decomposition-scheme.js';
import { schemes } from './schemes/scheme-table.js';

/** A layer in a scheme at some ranks, or left dense. */
export interface LayerOption extends CostedOption {
  readonly scheme: DecompositionScheme | undefined;
  readonly ranks: readonly number[];
  readonly parameters: number;
  readonly multiplyAdds: number;
  /** What replacing the layer alone is expected to lose, nothing fitted again: the prediction, put right by measuring. */
  readonly alone: number;
}

/** What a budget counts. Bytes are four a parameter. */
export type BudgetUnit = 'parameters' | 'multiplyAdds';

/** The layer as it is. */
export function buildDenseOption(layer: CompressibleLayer, unit: BudgetUnit): LayerOption {
  const parameters = countDenseParameters(layer);
  const macs = countDenseMacs(layer);
  const cost = unit === 'parameters' ? parameters : macs;
  return { scheme: undefined, ranks: [], parameters, multiplyAdds: macs, cost, loss: 0, alone: 0 };
}

/** Share of a weight's energy that float32 rounding of its elements makes of an exactly low rank: (6e-8)², a few times. */
const ROUNDING_ENERGY_SHARE = 1e-13;

/**
 * The options of a layer that no other beats, cheapest first, `dense` last: `loss` is the prediction.
 *
 * @param allowed names of schemes to consider.
 * @param biases number of biases that the layer will have.
 */
export async function predictOptions(
  subject: SchemeInput,
  unit: BudgetUnit,
  allowed: readonly SchemeName[],
  biases: number,
): Promise<LayerOption[]> {
  const { layer } = subject;
  const dense = buildDenseOption(layer, unit);
  const found: LayerOption[] = [dense];
  for (const name of allowed) {
    const scheme = schemes[name];
    if (scheme.findRefusal(layer) !== undefined) continue;
    const options: LayerOption[] = [];
    for (const { ranks, discardedEnergy } of await scheme.predict(subject)) {
      const parameters = scheme.countParameters(layer, ranks) + biases;
      const macs = scheme.countMacs(layer, ranks);
      const cost = unit === 'parameters' ? parameters : macs;
      if (cost >= dense.cost) continue;
      const loss = discardedEnergy <= ROUNDING_ENERGY_SHARE * subject.regression.energy ? 0 : discardedEnergy / 2;
      options.push({ scheme, ranks, parameters, multiplyAdds: macs, cost, loss, alone: loss });
    }
    found.push(...findParetoFront(options));
  }
  const front = findParetoFront(found);
  // A smaller option that loses nothing beats the layer as it is, which stays a choice all the same.
  return front.includes(dense) ? front : [...front, dense];
}

/** What a point of a curve was measured to cost. */
export interface MeasuredPoint {
  readonly predicted: number;
  readonly measured: number;
}

/**
 * The options with what they lose alone put right: between measured points the logarithms are interpolated, below the smallest
 * prediction measured the ratio stays as it is there. Options that are predicted to lose more than the worst point
 * measured are dropped: no one has how much they would. What is predicted to lose nothing loses nothing, unless more was
 * measured of such an option: then the images of the statistics do not show what the layer does.
 */
export function correctOptions(options: readonly LayerOption[], points: readonly MeasuredPoint[]): LayerOption[] {
  const free = points.flatMap(({ predicted, measured }) =>
    predicted === 0 && measured > NEGLIGIBLE_LOSS ? [measured] : [],
  );
  const sorted = [...points].filter(({ predicted }) => predicted > 0).sort((a, b) => a.predicted - b.predicted);
  // Measured on a few hundred images, a better point may come out worse by chance.
  let most = 0;
  const rising = sorted.map(({ predicted, measured }) => {
    most = Math.max(most, measured, NEGLIGIBLE_LOSS);
    return { predicted, measured: most };
  });
  const [first] = rising;
  const last = rising.at(-1);
  return options.flatMap((option) => {
    const { loss: predicted } = option;
    if (option.scheme === undefined) return [option];
    if (predicted === 0) return [{ ...option, loss: Math.max(0, ...free), alone: Math.max(0, ...free) }];
    if (!first || !last) return [];
    if (predicted > last.predicted * (1 + 1e-9)) return [];
    if (predicted <= first.predicted) return [{ ...option, alone: (predicted * first.measured) / first.predicted }];
    const at = rising.findIndex((point) => point.predicted >= predicted);
    const [a, b] = [rising[at - 1] ?? first, rising[at] ?? last];
    const share = Math.log(predicted / a.predicted) / Math.log(b.predicted / a.predicted);
    return [{ ...option, alone: a.measured * (b.measured / a.measured) ** share }];
  });
}

/**
 * What an option is compared by with those of other layers.
 *
 * @param after number of layers that come after it.
 */
export type LossEstimate = (option: LayerOption, behind: number) => number;

/** What a layer loses alone: the loss estimate where layers are not fitted one after another. */
export const estimateLossAlone: LossEstimate = ({ alone }) => alone;

/** What is left of a layer's loss by each layer that is fitted after it, unless rounds tell better; and at the least. */
export const LOSS_LEFT_PER_FIT = 0.9;
const LEAST_LOSS_LEFT = 0.2;

/**
 * The loss estimate where layers are fitted one after another: the prediction, less what the fits after make good. Measured on a
 * VGG16 at a tenth of its size: the predictions add up to 0.034 nats, what the layers lose alone to 0.15, and the fitted
 * network loses 0.0207 when it is allocated by this loss estimate, with maps that correlate at 0.953; by the plain prediction 0.0216
 * and 0.939, by what layers lose alone 0.0232 and 0.938.
 */
export function createFittedLossEstimate(lossLeft: number): LossEstimate {
  return ({ loss }, downstream) => loss * Math.max(LEAST_LOSS_LEFT, lossLeft ** downstream);
}

/** Below this a difference is rounding. */
export const NEGLIGIBLE_LOSS = 1e-9;

/** The options nearest to these shares of the dense cost, each once, cheapest first. */
export function choosePointsToMeasure(options: readonly LayerOption[], shares: readonly number[]): LayerOption[] {
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
