/** The images that `explain` is asked about: files, folders, lists of files, and images of a data set. */
import { statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { RunContext } from '../context/run-context.js';
import type { RgbImage } from '../data/image.js';
import { isImagePath } from '../data/image-folder.js';
import { findIndexByPath, getItem, parseSplit } from '../data/image-items.js';
import { UsageError } from '../errors.js';
import { readWholeFile } from '../io/models/model-file.js';
import { range } from '../tensor/dims.js';
import { decodeImage } from './decode-image.js';
import { openFolder } from './image-source-tree.js';
import { type Dataset, sampleImages } from './open-dataset.js';

/** Images of a folder, a list or a data set that are explained unless a number is given. */
const DEFAULT_LIMIT = 8;

/** Names an image: a path, the bytes of an image file, or decoded pixels. */
export type ImageChoice = string | Uint8Array | RgbImage;

/** Names images: one or several. */
export type ChosenImages = ImageChoice | readonly ImageChoice[];

/** Lists the images that were chosen, one or several, as a list. */
function toList(images: ChosenImages): readonly ImageChoice[] {
  return typeof images === 'string' || images instanceof Uint8Array || 'data' in images ? [images] : images;
}

/** Lists the paths among chosen images. */
export function listPaths(images: ChosenImages): readonly string[] {
  return toList(images).filter((image) => typeof image === 'string');
}

/** Decodes an image that is given by its bytes, or takes one that is decoded. */
async function decodeChoice(image: Uint8Array | RgbImage, position: number): Promise<NamedImage> {
  const file = `image ${position + 1}`;
  return { file, image: image instanceof Uint8Array ? await decodeImage(image, file) : image };
}

/** A decoded image and what to call it. */
export interface NamedImage {
  readonly file: string;
  readonly image: RgbImage;
}

/** So many of a list, evenly spread over it: folders and data sets may be sorted by class. */
function spreadEvenly<T>(items: readonly T[], count: number): T[] {
  return range(Math.min(count, items.length)).map(
    (i) => items[Math.floor((i * items.length) / Math.min(count, items.length))] as T,
  );
}

/** The images that a name stands for: itself, those in a folder and its subfolders, or those that a text file lists. */
async function listImages(spec: string): Promise<{ readonly files: readonly string[]; readonly isMany: boolean }> {
  const kind = statSync(spec, { throwIfNoEntry: false });
  if (kind?.isDirectory()) {
    const { paths } = await openFolder(spec);
    const files = paths.filter(isImagePath).sort();
    if (files.length > 0) return { files: files.map((path) => join(spec, path)), isMany: true };
    throw new UsageError(`The folder "${spec}" holds no images (.jpg, .png, .webp, …).`);
  }
  if (kind?.isFile() && spec.toLowerCase().endsWith('.txt')) {
    const paths = parseSplit(await readFile(spec, 'utf8')).map(({ path }) => resolve(dirname(spec), path));
    if (paths.length > 0) return { files: paths, isMany: true };
    throw new UsageError(`The list "${spec}" is empty: expected a path of an image on each line.`);
  }
  return { files: [spec], isMany: false };
}

async function readItem(dataset: Dataset, index: number): Promise<NamedImage> {
  const { path } = getItem(dataset.source, index);
  return { file: path, image: await dataset.decode(await dataset.source.read(index), path) };
}

/** Says that only a part of many images is explained. */
function noteLimit(shown: number, total: number, name: string, context: RunContext): void {
  if (shown < total) {
    context.onNote?.(
      `Explained are ${shown} of the ${total} images of ${name}, spread over it; \`limit\` changes how many.`,
    );
  }
}

/**
 * Reads the images that are to be explained.
 *
 * @param images image files, folders of images, text files that list images; with a data set, positions or paths inside it.
 *   None: images spread over the data set.
 * @param options.limit most images of a folder, a list or a data set. Default: 8.
 * @param options.seed decides which of a data set.
 * @throws UsageError for nothing to explain, and for a folder or list without images.
 */
export async function readImages(
  images: ChosenImages,
  dataset: Dataset | undefined,
  { limit, seed }: { readonly limit?: number; readonly seed?: number },
  context: RunContext,
): Promise<NamedImage[]> {
  const given = toList(images).filter((image) => typeof image !== 'string');
  if (given.length > 0) return Promise.all(given.map(decodeChoice));
  const specs = listPaths(images);
  if (dataset) {
    const { items, name } = dataset.source;
    if (specs.length === 0) {
      // A limit that a person gave has chosen the images of the data set already.
      const chosen = limit === undefined ? sampleImages(dataset, DEFAULT_LIMIT, seed) : range(items.length);
      noteLimit(chosen.length, items.length, `"${name}"`, context);
      return Promise.all(chosen.map((index) => readItem(dataset, index)));
    }
    // A bare number is a position in the data set.
    const findIndex = (spec: string) => (/^\d+$/.test(spec) ? Number(spec) : findIndexByPath(dataset.source, spec));
    return Promise.all(specs.map((spec) => readItem(dataset, findIndex(spec))));
  }
  if (specs.length === 0) {
    throw new UsageError('Name at least one image or a folder of images, or a data set with `data`.');
  }
  const files: string[] = [];
  for (const spec of specs) {
    const { files: found, isMany } = await listImages(spec);
    const chosen = isMany ? spreadEvenly(found, limit ?? DEFAULT_LIMIT) : found;
    noteLimit(chosen.length, found.length, `"${spec}"`, context);
    files.push(...chosen);
  }
  return Promise.all(
    files.map(async (file) => ({ file, image: await decodeImage(await readWholeFile(file, 'image'), file) })),
  );
}
