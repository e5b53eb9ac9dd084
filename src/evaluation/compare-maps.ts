import type { RunContext } from '../context/run-context.js';
import type { RgbImage } from '../data/image.js';
import { getItem } from '../data/image-items.js';
import { findDefaultLayer } from '../explain/layers.js';
import { findLayer } from '../graph/module-path.js';
import type { Dataset } from '../images/open-dataset.js';
import type { LoadedModel } from '../io/models/model-file.js';
import { correlateMaps, measureAgreement } from '../metrics/agreement.js';
import { pointingGame } from '../metrics/pointing-game.js';
import type { MapFigures } from '../report/comparison.js';
import { range } from '../tensor/dims.js';
import { defined } from '../values.js';
import { type ExplainedImage, explainImages } from './explain-images.js';

/** Images whose maps are compared by default. */
const MAP_IMAGES = 64;

/** Options of {@link compareMaps}. */
export interface MapOptions {
  /** Layer to look at in both models. Default: the first model's last spatial activation. */
  readonly layer?: string;
  /** Images whose maps are compared, spread over the data set. Default: 64. */
  readonly mapImages?: number;
}

/** An image and a class that both models explain. Default: the class that the first model predicts. */
export interface MapTarget {
  /** Position in the data set. */
  readonly index: number;
  readonly target?: number;
}

/** The maps of both models for one image and class. */
export interface MapPair {
  /** Position in the data set. */
  readonly index: number;
  readonly before: ExplainedImage;
  readonly after: ExplainedImage;
  /** None where a map is constant. */
  readonly correlation: number | undefined;
}

/** Maps of both models for the same images and classes, and how well they agree. */
export interface ComparedMaps {
  readonly figures: MapFigures;
  readonly pairs: readonly MapPair[];
}

/** Explains the same images and classes with both models. Images that cannot be read are left out. */
export async function explainWithBoth(
  before: LoadedModel,
  after: LoadedModel,
  dataset: Dataset,
  targets: readonly MapTarget[],
  options: { readonly layer: string; readonly names: readonly string[] },
  context: RunContext,
): Promise<{ readonly layer: string; readonly pairs: readonly MapPair[] }> {
  const entries: (MapTarget & { file: string; image: RgbImage })[] = [];
  for (const target of targets) {
    const { path } = getItem(dataset.source, target.index);
    try {
      const image = await dataset.decode(await dataset.source.read(target.index), path);
      entries.push({ ...target, file: path, image });
    } catch {
      // A warning was given when the predictions were compared.
    }
  }
  const silent = { ...context, onProgress: () => {} };
  const first = await explainImages(before, entries, options, silent);
  const targeted = entries.map((entry, i) => ({ ...entry, target: first.images[i]?.target as number }));
  const second = await explainImages(after, targeted, options, silent);
  const pixels = (images: readonly ExplainedImage[]) => images.map(({ map }) => map.data);
  const correlations = correlateMaps(pixels(first.images), pixels(second.images));
  const pairs = entries.map(({ index }, i) => {
    const [a, b] = [first.images[i], second.images[i]];
    if (!a || !b) throw new Error('unreachable: both models explained every image');
    return { index, before: a, after: b, correlation: correlations[i] };
  });
  return { layer: first.layer, pairs };
}

function findLowest(pairs: readonly MapPair[]): MapFigures['lowest'] {
  let lowest: MapFigures['lowest'];
  for (const { correlation, before } of pairs) {
    if (correlation !== undefined && !(lowest && lowest.correlation <= correlation)) {
      lowest = { file: before.file, correlation };
    }
  }
  return lowest;
}

/** Compares the maps of both models at one layer, on images spread over a data set. */
export async function compareMaps(
  before: LoadedModel,
  after: LoadedModel,
  dataset: Dataset,
  names: readonly string[],
  options: MapOptions,
  context: RunContext,
): Promise<ComparedMaps> {
  const wanted = options.layer ?? findDefaultLayer(before.graph).path;
  // The same layer must be there to look at in both.
  findLayer(after.graph, findLayer(before.graph, wanted).path);
  // Spread over the data set, which may be sorted by class.
  const total = dataset.source.items.length;
  const count = Math.min(options.mapImages ?? MAP_IMAGES, total);
  const targets = range(count).map((i) => ({ index: Math.floor((i * total) / count) }));
  const { layer, pairs } = await explainWithBoth(before, after, dataset, targets, { layer: wanted, names }, context);
  const { box } = dataset;
  const inside = (which: 'before' | 'after') =>
    pairs.filter((pair) => box && pointingGame(pair[which].map, box(pair.index))).length / pairs.length;
  const lowest = findLowest(pairs);
  const figures: MapFigures = {
    layer,
    ...measureAgreement(
      pairs.map((pair) => pair.before.map.data),
      pairs.map((pair) => pair.after.map.data),
    ),
    ...defined({ lowest }),
    ...(box ? { pointingGame: { images: pairs.length, before: inside('before'), after: inside('after') } } : {}),
  };
  return { figures, pairs };
}
