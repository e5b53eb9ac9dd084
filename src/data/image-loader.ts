/*
 * From numbers of images to the tensor a model takes: read, decode, augment, fit, normalise. One function does it on
 * whatever thread, so that the pixels do not depend on who loads them.
 */
import { ShiboriError } from '../errors.js';
import { seeded } from '../tensor/random.js';
import type { Tensor } from '../tensor/tensor.js';
import { type AugmentOptions, augment } from './augment.js';
import type { ImageDecoder } from './decode.js';
import type { RgbImage } from './image.js';
import { getItem, type ImageSource, type ZipEntry } from './image-items.js';
import { fitImage, type Preprocess, toTensor } from './preprocess.js';

/** Third key of the random streams that augmentation draws from; order and masks use others. */
const AUGMENT_STREAM = 3;

/** Images as a model sees them: how they are cut to size and normalised, and what is random about them. */
export interface ImageTransform {
  readonly preprocess: Preprocess;
  /** `undefined`: every view is the image as it is. */
  readonly augmentation: AugmentOptions | undefined;
  /** Decides the views, together with the number of the view and of the image. */
  readonly seed: number;
}

/** An image to load: its number decides its views, its path where it is. */
export interface ImageRequest {
  readonly index: number;
  readonly path: string;
  /** Where it is in an archive. */
  readonly entry?: ZipEntry;
}

/** A batch of images, one row for each that was asked for. */
export interface LoadedImages {
  /** `[n, channels, height, width]`; an image that cannot be used is black. */
  readonly images: Tensor<'float32'>;
  /** Rows of the images that cannot be used, in order, and why. */
  readonly bad: readonly { readonly row: number; readonly reason: string }[];
}

/** What loads the images of a source by their numbers. */
export interface ImageLoader {
  /**
   * @throws UsageError for an index that the source does not have; ShiboriError when the images cannot be loaded at all.
   */
  load(indices: readonly number[], view: number): Promise<LoadedImages>;
  /** How many batches it pays to ask for before they are needed. */
  readonly batchesAhead: number;
  /** Threads that load, in addition to the caller's. */
  readonly workers: number;
  /** Ends what is still being loaded. The source stays open. */
  close(): Promise<void>;
}

/**
 * Loads a batch: for each image the pixels of `readImage`, of which view `view` is made as the recipe says.
 *
 * Only what the data can be blamed for makes an image bad; any other error is a mistake of the program and thrown.
 */
export async function loadImages(
  requests: readonly ImageRequest[],
  view: number,
  readImage: (request: ImageRequest) => Promise<RgbImage>,
  { preprocess, augmentation, seed }: ImageTransform,
): Promise<LoadedImages> {
  const [height, width] = preprocess.size;
  const reasons = new Map<number, string>();
  const load = async (request: ImageRequest, row: number): Promise<RgbImage> => {
    try {
      const image = await readImage(request);
      if (!augmentation) return fitImage(image, preprocess);
      return fitImage(augment(image, augmentation, seeded(seed, AUGMENT_STREAM, view, request.index)), preprocess);
    } catch (error) {
      if (!(error instanceof ShiboriError)) throw error;
      reasons.set(row, error.message);
      return { width, height, data: new Uint8Array(width * height * 3) };
    }
  };
  const images = toTensor(await Promise.all(requests.map(load)), preprocess);
  const bad = requests.flatMap((_, row) => {
    const reason = reasons.get(row);
    return reason === undefined ? [] : [{ row, reason }];
  });
  return { images, bad };
}

/** Images to load by their numbers. Throws a UsageError for a number that the source does not have. */
export function buildImageRequests(source: ImageSource, indices: readonly number[]): ImageRequest[] {
  return indices.map((index) => {
    const { path } = getItem(source, index);
    const entry = source.entryOf?.(index);
    return entry === undefined ? { index, path } : { index, path, entry };
  });
}

/** Loads on the caller's thread; the next batch is prepared while the caller waits for something else. */
export function createDirectLoader(source: ImageSource, decode: ImageDecoder, transform: ImageTransform): ImageLoader {
  const readImage = async ({ index, path }: ImageRequest) => decode(await source.read(index), path);
  return {
    load: async (indices, view) => loadImages(buildImageRequests(source, indices), view, readImage, transform),
    batchesAhead: 1,
    workers: 0,
    close: async () => {},
  };
}
