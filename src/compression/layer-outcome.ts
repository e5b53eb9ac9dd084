/** What became of the layers of a network, and why. */

import { defined } from '../values.js';
import type { SchemeName } from './schemes/decomposition-scheme.js';
import type { UnfoldingEnergies } from './schemes/truncation-errors.js';
import type { LayerSensitivity } from './sensitivity-analysis.js';
import type { LayerOption, MeasuredPoint } from './sensitivity-curves.js';

/** The spectrum of a rank; `rank` where the scheme that was chosen cuts it. */
export interface TruncatedSpectrum extends UnfoldingEnergies {
  readonly rank?: number;
}

/** What became of one layer. */
export interface LayerOutcome {
  readonly path: string;
  /** `undefined`: left dense. */
  readonly scheme: SchemeName | undefined;
  readonly ranks: readonly number[];
  readonly parametersBefore: number;
  readonly parameters: number;
  readonly multiplyAddsBefore: number;
  readonly multiplyAdds: number;
  /** KL in nats by the second moments, and what replacing it alone loses by the points measured. */
  readonly predicted: number;
  readonly alone: number;
  readonly measured: readonly MeasuredPoint[];
  /** What its ranks contribute, and the rank that each was cut to. */
  readonly spectra: readonly TruncatedSpectrum[];
  /** Why it was left dense. */
  readonly reason?: string;
}

/** What became of a layer of which an option was chosen. */
export function buildLayerOutcome(
  { layer, measured, spectra, options, reason }: LayerSensitivity,
  option: LayerOption,
): LayerOutcome {
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
    predicted: option.loss,
    alone: option.alone,
    measured,
    spectra: spectra.map((spectrum) => {
      const rank = option.ranks[option.scheme?.unfoldings.indexOf(spectrum.bond) ?? -1];
      return { ...spectrum, ...defined({ rank }) };
    }),
    ...(option.scheme ? {} : { reason: why }),
  };
}

/** What became of each layer of which an option was chosen. */
export function listLayerOutcomes(
  layers: readonly LayerSensitivity[],
  chosen: ReadonlyMap<string, LayerOption>,
): LayerOutcome[] {
  return layers.flatMap((each) => {
    const option = chosen.get(each.layer.path);
    return option ? [buildLayerOutcome(each, option)] : [];
  });
}
