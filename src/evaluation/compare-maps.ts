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
import { at, defined } from '../values.js';
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

/** Holds the map of one image, and the class that it explains. */
export type ImageMap = Pick<ExplainedImage, 'file' | 'target' | 'map'>;

/** Holds the maps of both models for one image and class. */
interface ComparedImage {
  /** Position in the data set. */
  readonly index: number;
  readonly before: ImageMap;
  readonly after: ImageMap;
  /** Pearson correlation; none where a map is constant. */
  readonly correlation: number | undefined;
}

/** Holds the explanations of both models for one image and class. */
export interface MapPair extends ComparedImage {
  readonly before: ExplainedImage;
  readonly after: ExplainedImage;
}

/** Holds the maps of both models for the same images and classes, and how well they agree. */
export interface ComparedMaps {
  readonly figures: MapFigures;
  readonly pairs: readonly MapPair[];
}

/** Holds an image of a data set that is to be explained. */
interface ImageEntry extends MapTarget {
  readonly file: string;
  readonly image: RgbImage;
}

/** Reads images of a data set. Images that cannot be read are left out; the predictions' loop warns of them. */
export async function readTargets(dataset: Dataset, targets: readonly MapTarget[]): Promise<readonly ImageEntry[]> {
  const entries: ImageEntry[] = [];
  for (const target of targets) {
    const { path } = getItem(dataset.source, target.index);
    try {
      const image = await dataset.decode(await dataset.source.read(target.index), path);
      entries.push({ ...target, file: path, image });
    } catch {
      // The loop over the predictions has reported it.
    }
  }
  return entries;
}

/** Chooses positions that are spread over a data set, which may be sorted by class. */
export function chooseMapTargets({ source }: Dataset, mapImages = MAP_IMAGES): readonly MapTarget[] {
  const total = source.items.length;
  const count = Math.min(mapImages, total);
  return range(count).map((i) => ({ index: Math.floor((i * total) / count) }));
}

/** Correlates the maps of the same images, in the same order. */
export function correlateImages(before: readonly ImageMap[], after: readonly ImageMap[]): (number | undefined)[] {
  const pixels = (images: readonly ImageMap[]) => images.map(({ map }) => map.data);
  return correlateMaps(pixels(before), pixels(after));
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
  const entries = await readTargets(dataset, targets);
  const silent = { ...context, onProgress: () => {} };
  const first = await explainImages(before, entries, options, silent);
  const targeted = entries.map((entry, i) => ({ ...entry, target: at(first.images, i).target }));
  const second = await explainImages(after, targeted, options, silent);
  const correlations = correlateImages(first.images, second.images);
  const pairs = entries.map(({ index }, i) => ({
    index,
    before: at(first.images, i),
    after: at(second.images, i),
    correlation: correlations[i],
  }));
  return { layer: first.layer, pairs };
}

/** Finds the image whose maps agree least. */
function findLowest(pairs: readonly ComparedImage[]): MapFigures['lowest'] {
  let lowest: MapFigures['lowest'];
  for (const { correlation, before } of pairs) {
    if (correlation !== undefined && !(lowest && lowest.correlation <= correlation)) {
      lowest = { file: before.file, correlation };
    }
  }
  return lowest;
}

/** Computes how well the maps of two models agree, and how often their peaks are inside the object's box. */
export function computeMapFigures(
  layer: string,
  pairs: readonly ComparedImage[],
  { box }: Pick<Dataset, 'box'>,
): MapFigures {
  const inside = (which: 'before' | 'after') =>
    pairs.filter((pair) => box && pointingGame(pair[which].map, box(pair.index))).length / pairs.length;
  const lowest = findLowest(pairs);
  return {
    layer,
    ...measureAgreement(
      pairs.map((pair) => pair.before.map.data),
      pairs.map((pair) => pair.after.map.data),
    ),
    ...defined({ lowest }),
    ...(box ? { pointingGame: { images: pairs.length, before: inside('before'), after: inside('after') } } : {}),
  };
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
  // Both models must have the same layer.
  findLayer(after.graph, findLayer(before.graph, wanted).path);
  const targets = chooseMapTargets(dataset, options.mapImages);
  const { layer, pairs } = await explainWithBoth(before, after, dataset, targets, { layer: wanted, names }, context);
  return { figures: computeMapFigures(layer, pairs, dataset), pairs };
}
