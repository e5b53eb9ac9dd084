import { itemAt } from '../../data/dataset.js';
import type { RgbImage } from '../../data/image.js';
import { defaultLayer } from '../../explain/layers.js';
import { findLayer } from '../../graph/module-path.js';
import { correlateMaps, measureAgreement } from '../../metrics/agreement.js';
import { pointingGame } from '../../metrics/pointing-game.js';
import type { LoadedModel } from '../../node/model-file.js';
import type { MapFigures } from '../../report/comparison.js';
import { range } from '../../tensor/dims.js';
import type { VerbContext } from '../context.js';
import type { Dataset } from '../dataset.js';
import { type ExplainedImage, explainImages } from '../explain.js';

/** Options of {@link compareMaps}. */
export interface MapOptions {
  /** Layer to look at in both models. Default: the first model's last spatial activation. */
  readonly layer?: string;
  /** Images whose maps are compared. Default: 64. */
  readonly mapImages?: number;
  /** Positions in the data set of images to draw first. */
  readonly featured?: readonly number[];
}

/** Maps of both models for the same images and classes, and how well they agree. */
export interface ComparedMaps {
  readonly figures: MapFigures;
  readonly before: readonly ExplainedImage[];
  readonly after: readonly ExplainedImage[];
  /** `undefined` for an image of which a map is constant. */
  readonly correlations: readonly (number | undefined)[];
}

/** Looks at the same layer of both models on images spread over a data set. */
export async function compareMaps(
  before: LoadedModel,
  after: LoadedModel,
  dataset: Dataset,
  names: readonly string[],
  options: MapOptions,
  context: VerbContext,
): Promise<ComparedMaps> {
  const layer = options.layer ?? defaultLayer(before.graph).path;
  // The same layer must be there to look at in both.
  findLayer(after.graph, findLayer(before.graph, layer).path);
  const count = Math.min(options.mapImages ?? 64, dataset.source.items.length);
  // Spread over the data set, which may be sorted by class; the featured images come first.
  const stride = dataset.source.items.length / count;
  const spread = range(count).map((i) => Math.floor(i * stride));
  const indices = [...new Set([...(options.featured ?? []), ...spread])].slice(
    0,
    Math.max(count, options.featured?.length ?? 0),
  );
  const entries: { index: number; file: string; image: RgbImage }[] = [];
  for (const index of indices) {
    const { path } = itemAt(dataset.source, index);
    try {
      entries.push({ index, file: path, image: await dataset.decode(await dataset.source.read(index), path) });
    } catch {
      // Told of already when the accuracy was measured.
    }
  }
  const first = await explainImages(before, entries, { layer, names }, { ...context, onProgress: () => {} });
  const targeted = entries.map((entry, i) => ({ ...entry, target: first.images[i]?.predicted ?? 0 }));
  const second = await explainImages(after, targeted, { layer, names }, { ...context, onProgress: () => {} });
  const [a, b] = [first.images, second.images].map((images) => images.map(({ map }) => map.data));
  if (!a || !b) throw new Error('unreachable: two models were explained');
  const { box } = dataset;
  const inside = (images: readonly ExplainedImage[]) =>
    images.filter(({ map }, i) => box && pointingGame(map, box(entries[i]?.index ?? 0))).length / images.length;
  const figures: MapFigures = {
    layer: first.layer,
    ...measureAgreement(a, b),
    ...(box
      ? { pointingGame: { images: entries.length, before: inside(first.images), after: inside(second.images) } }
      : {}),
  };
  return { figures, before: first.images, after: second.images, correlations: correlateMaps(a, b) };
}
