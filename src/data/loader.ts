import { ShiboriError, UsageError } from '../errors.js';
import { range } from '../tensor/dims.js';
import type { Tensor } from '../tensor/tensor.js';
import { type ImageSource, itemAt } from './dataset.js';
import type { Decode } from './decode.js';
import type { RgbImage } from './image.js';
import { fitImage, type Preprocess, toTensor } from './preprocess.js';

export interface Batch {
  /** float32 `[n, 3, height, width]`. */
  readonly images: Tensor<'float32'>;
  /** Class of each image. */
  readonly labels: Int32Array;
  /** Index of each image in the source. */
  readonly indices: readonly number[];
}

/** An image that could not be used, and why. */
export interface BadImage {
  readonly path: string;
  readonly reason: string;
}

export interface BatchOptions {
  /** Images to take, in this order. Default: all of the source. */
  readonly indices?: ArrayLike<number>;
  readonly batchSize: number;
  readonly preprocess: Preprocess;
  readonly decode: Decode;
  /** Makes the view of image `index` that is trained on. Default: the image as it is. */
  augment?(image: RgbImage, index: number): RgbImage;
  /** Told of every image that is left out because it cannot be read or decoded, in order. */
  onBad(bad: BadImage): void;
}

type Loaded =
  | { readonly index: number; readonly image: RgbImage }
  | { readonly index: number; readonly reason: string };

/**
 * Batches of images, decoded and normalised; the next batch is prepared while the caller works on this one.
 *
 * An image that cannot be used is left out of its batch, which is then shorter, and reported. The last batch holds the rest.
 *
 * @throws UsageError for a batch size below 1 or an index the source does not have.
 * @throws ShiboriError when not one image could be used.
 */
export async function* batches(source: ImageSource, options: BatchOptions): AsyncGenerator<Batch, void, undefined> {
  const { batchSize, preprocess, decode, onBad } = options;
  const indices = Array.from(options.indices ?? range(source.items.length));
  if (!(Number.isInteger(batchSize) && batchSize > 0)) {
    throw new UsageError(`The batch size must be a whole number above 0, found ${batchSize}.`);
  }
  for (const index of indices) itemAt(source, index);

  async function load(index: number): Promise<Loaded> {
    try {
      const image = await decode(await source.read(index), itemAt(source, index).path);
      return { index, image: fitImage(options.augment?.(image, index) ?? image, preprocess) };
    } catch (error) {
      // Only what the data can be blamed for; a mistake in the program must not pass for a bad image.
      if (error instanceof ShiboriError) return { index, reason: error.message };
      throw error;
    }
  }

  const loadBatch = (start: number) => {
    const loading = Promise.all(indices.slice(start, start + batchSize).map(load));
    // A caller who stops early never awaits the batch ahead: its failure is then nobody's business.
    loading.catch(() => {});
    return loading;
  };

  let usable = 0;
  let firstBad: BadImage | undefined;
  let ahead = loadBatch(0);
  for (let start = 0; start < indices.length; start += batchSize) {
    const loaded = await ahead;
    ahead = loadBatch(start + batchSize);
    const good: { index: number; image: RgbImage }[] = [];
    for (const entry of loaded) {
      if ('image' in entry) {
        good.push(entry);
        continue;
      }
      const bad = { path: itemAt(source, entry.index).path, reason: entry.reason };
      firstBad ??= bad;
      onBad(bad);
    }
    if (good.length === 0) continue;
    usable += good.length;
    yield {
      images: toTensor(
        good.map(({ image }) => image),
        preprocess,
      ),
      labels: Int32Array.from(good, ({ index }) => itemAt(source, index).label),
      indices: good.map(({ index }) => index),
    };
  }
  if (usable === 0) {
    throw new ShiboriError(
      firstBad === undefined
        ? `"${source.name}" has no images to load.`
        : `None of the ${indices.length} images of "${source.name}" can be used. The first: ${firstBad.reason}`,
    );
  }
}
