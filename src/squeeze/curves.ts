/*
 * What a layer is predicted to cost at every rank, in every scheme: ½ of the sum of what its bonds discard (a bound on
 * what the train loses, in the metric of `whitened.ts`), put right by measuring a few points. On linear layers the
 * prediction holds almost to the digit; on convolutions it is several times too low, since K-FAC takes the positions of
 * one image for independent.
 */

import { type Option, paretoFront } from './allocation.js';
import type { Scheme, SchemeName, SchemeSubject } from './scheme.js';
import { schemes } from './schemes.js';
import { denseMultiplyAdds, denseParameters, type SqueezeLayer } from './squeeze-layer.js';

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
  subject: SchemeSubject,
  goal: Goal,
  allowed: readonly SchemeName[],
): Promise<LayerOption[]> {
  const { layer } = subject;
  const dense = denseOption(layer, goal);
  const biases = layer.bias?.length ?? 0;
  const found: LayerOption[] = [dense];
  for (const name of allowed) {
    const scheme = schemes[name];
    if (scheme.refuses(layer) !== undefined) continue;
    const options: LayerOption[] = [];
    for (const { ranks, mass } of await scheme.predict(subject)) {
      const parameters = scheme.parameters(layer, ranks) + biases;
      const multiplyAdds = scheme.multiplyAdds(layer, ranks);
      const cost = goal === 'parameters' ? parameters : multiplyAdds;
      if (cost >= dense.cost) continue;
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
