import { join } from 'node:path';
import { getItem } from '../data/image-items.js';
import type { ImageTransform } from '../data/image-loader.js';
import { writeGraph } from '../formats/onnx/write.js';
import type { Graph } from '../graph/model.js';
import { openImageLoader } from '../images/image-pool.js';
import type { Dataset } from '../images/open-dataset.js';
import { computeCacheKey, evictFeatures, openFeatureCache } from '../io/feature-cache.js';
import { getCacheFolder } from '../io/named-downloads.js';
import { readPackageVersion } from '../io/package-version.js';
import { range } from '../tensor/dims.js';
import { createMemoryStore, type FeatureStore } from '../train/features-in-memory.js';
import type { TrainingData } from '../train/training-data.js';

/** Features are kept on disk up to this size in all; what was used longest ago makes room. */
const CACHE_BYTES = 8e9;
/** Smaller ones are quicker to compute again (VGG16 on two cores: half a minute) than to look after. */
const FEWEST_CACHED_BYTES = 32e6;
/** Images whose bytes tell a data set from another one with the same file names. */
const SAMPLED_IMAGES = 32;

/** Training data that may have threads of its own. */
export interface LoadedTrainingData extends TrainingData {
  /** Ends the threads that load images. */
  close(): Promise<void>;
}

/**
 * Decodes, augments and normalises a data set's images. One that cannot be read loses its label and is reported once.
 *
 * @param workers threads that load images, as in `RunContext`.
 */
export function openTrainingData(
  dataset: Dataset,
  recipe: ImageTransform,
  onBad: (path: string, reason: string) => void,
  workers?: number,
): LoadedTrainingData {
  const { source } = dataset;
  const labels = Int32Array.from(source.items, ({ label }) => label);
  const loader = openImageLoader(dataset, recipe, workers);
  return {
    count: source.items.length,
    labels,
    ahead: loader.batchesAhead,
    async images(indices, view) {
      const { images, bad } = await loader.load(indices, view);
      for (const { row, reason } of bad) {
        const index = indices[row] ?? 0;
        if (labels[index] === -1) continue;
        // Its row of the batch stays, without a label and so without a say in the loss.
        labels[index] = -1;
        onBad(getItem(source, index).path, reason);
      }
      return images;
    },
    close: () => loader.close(),
  };
}

/** What decides the pixels of a data set's images, as parts of a key. */
export async function listFeatureKeyParts(
  { source }: Dataset,
  recipe: ImageTransform,
): Promise<(string | Uint8Array)[]> {
  const count = source.items.length;
  const sampled = range(Math.min(count, SAMPLED_IMAGES)).map((i) => Math.floor((i * count) / SAMPLED_IMAGES) % count);
  const bytes = await Promise.all(
    // One that cannot be read is reported when its turn comes.
    sampled.map((index) => source.read(index).catch(() => new Uint8Array(0))),
  );
  return [
    readPackageVersion(),
    source.name,
    source.items.map(({ path }) => path).join('\n'),
    JSON.stringify(recipe),
    ...bytes,
  ];
}

/** Opens the stores of one training's frozen features: on disk where that saves time, otherwise in memory. */
export class FeatureCache {
  readonly #root = join(getCacheFolder(), 'features');
  /** Bytes of this training's stores, by folder: none makes room for the other. */
  readonly #own = new Map<string, number>();

  /**
   * What opens a data set's store once it is known how many elements a record has.
   *
   * @param views how many views will be kept.
   */
  async prepareStore(
    dataset: Dataset,
    recipe: ImageTransform,
    views: number,
  ): Promise<(elements: number, prefix: Graph) => FeatureStore> {
    const count = dataset.source.items.length;
    const parts = await listFeatureKeyParts(dataset, recipe);
    return (elements, prefix) => {
      const bytes = count * elements * Float32Array.BYTES_PER_ELEMENT * views;
      if (bytes < FEWEST_CACHED_BYTES) return createMemoryStore(count, elements);
      const key = computeCacheKey([writeGraph(prefix), ...parts]);
      this.#own.set(key, bytes);
      const needed = [...this.#own.values()].reduce((sum, size) => sum + size, 0);
      evictFeatures(this.#root, new Set(this.#own.keys()), needed, CACHE_BYTES);
      return openFeatureCache(join(this.#root, key), count, elements);
    };
  }
}
