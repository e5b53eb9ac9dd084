import { ShiboriError, UsageError } from '../errors.js';
import { range } from '../tensor/dims.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import { getItem, type ImageSource } from './image-items.js';
import type { ImageLoader, LoadedImages } from './image-loader.js';
import { prefetch } from './prefetch.js';

export interface Batch {
  /** `[n, channels, height, width]`. */
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
  /** Called with every image that is left out because it cannot be read or decoded, in order. */
  onBad(bad: BadImage): void;
  /** Called after each batch with the time spent waiting for it, in seconds. */
  onWait?(seconds: number): void;
}

/** The rows that can be used. */
function keepUsableRows({ images, bad }: LoadedImages, count: number): { images: Tensor<'float32'>; rows: number[] } {
  const left = new Set(bad.map(({ row }) => row));
  const rows = range(count).filter((row) => !left.has(row));
  if (left.size === 0) return { images, rows };
  const [, ...dims] = images.dims;
  const elements = images.data.length / count;
  const kept = new Float32Array(rows.length * elements);
  for (const [to, row] of rows.entries()) {
    kept.set(images.data.subarray(row * elements, (row + 1) * elements), to * elements);
  }
  return { images: tensor('float32', [rows.length, ...dims], kept), rows };
}

/**
 * Batches of the images as they are (view 0); those that come next are prepared while the caller works on this one.
 *
 * An image that cannot be used is left out of its batch, which is then shorter, and reported. The last batch holds the rest.
 *
 * @param loader loads the source's images. It is not closed.
 * @throws UsageError for a batch size below 1 or an index the source does not have.
 * @throws ShiboriError when not one image could be used.
 */
export async function* loadBatches(
  source: ImageSource,
  loader: ImageLoader,
  options: BatchOptions,
): AsyncGenerator<Batch, void, undefined> {
  const { batchSize, onBad, onWait } = options;
  const indices = Array.from(options.indices ?? range(source.items.length));
  if (!(Number.isInteger(batchSize) && batchSize > 0)) {
    throw new UsageError(`The batch size must be a whole number above 0, found ${batchSize}.`);
  }
  for (const index of indices) getItem(source, index);

  let usable = 0;
  let firstBad: BadImage | undefined;
  const chunks = range(Math.ceil(indices.length / batchSize)).map((i) =>
    indices.slice(i * batchSize, (i + 1) * batchSize),
  );
  const next = prefetch(chunks, (chunk) => loader.load(chunk, 0), loader.batchesAhead);
  for (const chunk of chunks) {
    const start = performance.now();
    const loaded = await next();
    onWait?.((performance.now() - start) / 1000);
    if (!loaded) break;
    for (const { row, reason } of loaded.bad) {
      const bad = { path: getItem(source, chunk[row] ?? 0).path, reason };
      firstBad ??= bad;
      onBad(bad);
    }
    const { images, rows } = keepUsableRows(loaded, chunk.length);
    if (rows.length === 0) continue;
    usable += rows.length;
    const chosen = rows.map((row) => chunk[row] ?? 0);
    yield { images, labels: Int32Array.from(chosen, (index) => getItem(source, index).label), indices: chosen };
  }
  if (usable === 0) {
    throw new ShiboriError(
      firstBad === undefined
        ? `"${source.name}" has no images to load.`
        : `None of the ${indices.length} images of "${source.name}" can be used. The first: ${firstBad.reason}`,
      { code: 'invalid-data' },
    );
  }
}
