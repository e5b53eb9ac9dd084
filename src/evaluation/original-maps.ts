/** Maps of an original model that many candidates are compared with: computed once. */

import type { RunContext } from '../context/run-context.js';
import { findDefaultLayer } from '../explain/layers.js';
import { findLayer } from '../graph/module-path.js';
import type { Dataset } from '../images/open-dataset.js';
import type { LoadedModel } from '../io/models/model-file.js';
import type { MapFigures } from '../report/comparison.js';
import { at } from '../values.js';
import { chooseMapTargets, computeMapFigures, correlateImages, type ImageMap, readTargets } from './compare-maps.js';
import { explainImages } from './explain-images.js';

/** Holds the maps of an original at its default layer, of images spread over a data set. */
export interface OriginalMaps {
  /** Module path of the layer, the same in every candidate. */
  readonly layer: string;
  /** Each explains the class that the original predicts; `index` is the position in the data set. */
  readonly images: readonly (ImageMap & { readonly index: number })[];
}

/**
 * Computes the maps of an original at its last spatial activation. Images that cannot be read are left out.
 *
 * @param mapImages number of images, fewer where the data set has no more.
 * @throws UsageError for a model of which no layer has a map.
 */
export async function computeOriginalMaps(
  original: LoadedModel,
  dataset: Dataset,
  mapImages: number,
  context: RunContext,
): Promise<OriginalMaps> {
  const entries = await readTargets(dataset, chooseMapTargets(dataset, mapImages));
  const options = { layer: findDefaultLayer(original.graph).path, names: [] };
  const { layer, images } = await explainImages(original, entries, options, { ...context, onProgress: () => {} });
  return {
    layer,
    images: images.map(({ file, target, map }, i) => ({ index: at(entries, i).index, file, target, map })),
  };
}

/**
 * Compares the maps of a candidate with those of its original, for the same images and classes.
 *
 * @throws UsageError for a candidate without the layer.
 */
export async function compareWithOriginal(
  { layer, images }: OriginalMaps,
  candidate: LoadedModel,
  dataset: Dataset,
  context: RunContext,
): Promise<MapFigures> {
  const options = { layer: findLayer(candidate.graph, layer).path, names: [] };
  const entries = await readTargets(dataset, images);
  const explained = await explainImages(candidate, entries, options, { ...context, onProgress: () => {} });
  const correlations = correlateImages(images, explained.images);
  const pairs = images.map((before, i) => ({
    index: before.index,
    before,
    after: at(explained.images, i),
    correlation: correlations[i],
  }));
  return computeMapFigures(layer, pairs, dataset);
}
