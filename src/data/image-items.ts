import { formatSuggestion, ShiboriError, UsageError } from '../errors.js';
import { defined } from '../values.js';

/** Names an image of a data set and its class. */
export interface ImageItem {
  /** Path inside the data set, with forward slashes. */
  readonly path: string;
  /** Index into the source's classes, or `UNLABELLED`. */
  readonly label: number;
}

/** The label of an image that has none. */
export const UNLABELLED = -1;

/** Names a class of a data set. */
export interface ImageClass {
  /** The folder's name, a WordNet id in ImageNet's case. */
  readonly id: string;
  /** What people call it. */
  readonly name: string;
}

/** What the parts of a data set are for. */
export type PartKind = 'train' | 'val' | 'test';

/** A part of a data set: one of its folders. */
export interface DataPart {
  /** The folder's name, such as `validation`. */
  readonly name: string;
  readonly kind: PartKind;
  /** Whether its images have labels. */
  readonly labelled: boolean;
}

/** Where the images of a source can be found again by another thread, by the paths of its items. Plain data. */
export type ImageOrigin =
  /** Files under `root` (which is empty or ends in `/`) of a folder or zip archive. */
  | { readonly kind: 'folder' | 'zip'; readonly path: string; readonly root: string }
  /** Cluttered digits, of which the last part of an item's path is the number. */
  | { readonly kind: 'digits'; readonly split: 'train' | 'test'; readonly seed: number; readonly count: number };

/** Where a file is in a zip archive, and what it must be. */
export interface ZipEntry {
  /** Where its local header begins. */
  readonly offset: number;
  readonly compressedSize: number;
  readonly size: number;
  readonly crc: number;
  readonly isDeflated: boolean;
  /** Why it cannot be read, when that is already known. */
  readonly obstacle: string | undefined;
  readonly nameLength: number;
}

/** Images, wherever they are. */
export interface ImageSource {
  /** What to call it in messages and reports. */
  readonly name: string;
  readonly items: readonly ImageItem[];
  /** In the order of the labels. All of the data set's classes, also those that no item has; none without labels. */
  readonly classes: readonly ImageClass[];
  /** The encoded image of item `index`. */
  read(index: number): Promise<Uint8Array>;
  /** Where other threads get the same bytes as from `read`: who replaces `read` leaves it out. Default: nowhere. */
  readonly origin?: ImageOrigin;
  /** In an archive: where in it, so that other threads need not read its directory. */
  entryOf?(index: number): ZipEntry | undefined;
  /** The folder of the data set that was taken, such as `val`, where it has parts. */
  readonly part?: string;
  /** All parts of the data set. */
  readonly parts?: readonly DataPart[];
  /** What was chosen when it was opened, in sentences. */
  readonly notes?: readonly string[];
  /** Gives back what the source holds open. */
  close?(): Promise<void>;
}

/** Whether the images of a source have labels: all of them, or none. */
export const isLabelled = ({ classes }: Pick<ImageSource, 'classes'>): boolean => classes.length > 0;

/**
 * Items `indices` of a source, in that order, under the same classes. Closing it closes the source.
 *
 * @throws UsageError for an index that the source does not have.
 */
export function takeSubset(source: ImageSource, indices: ArrayLike<number>, name = source.name): ImageSource {
  const chosen = Array.from(indices);
  const items = chosen.map((index) => getItem(source, index));
  const { close, origin, part, parts, notes } = source;
  const entryOf = source.entryOf?.bind(source);
  return {
    name,
    items,
    ...defined({ origin, part, parts, notes }),
    ...(entryOf && { entryOf: (index) => entryOf(chosen[index] ?? -1) }),
    classes: source.classes,
    async read(index) {
      getItem({ name, items }, index);
      return source.read(chosen[index] as number);
    },
    ...(close && { close: () => close.call(source) }),
  };
}

/** Item `index` of a source. Throws a UsageError when there is none. */
export function getItem(source: Pick<ImageSource, 'name' | 'items'>, index: number): ImageItem {
  const item = source.items[index];
  if (item === undefined) {
    throw new UsageError(`"${source.name}" has images 0…${source.items.length - 1}, there is no image ${index}.`);
  }
  return item;
}

/** The last part of a path. */
export function getBaseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** A path with forward slashes and without `./` in front. */
export function normalizePath(path: string): string {
  return path.replaceAll('\\', '/').replace(/^(\.\/+)+/, '');
}

/**
 * Looks items up by path. A path that says more than the items' own (`../tiny-imagenet-200/train/…`) or less (the file
 * name alone) finds the item whose parts agree as far as both go, when there is exactly one.
 */
export function createPathIndex(source: ImageSource): (path: string) => number | undefined {
  const exact = new Map<string, number>();
  const byName = new Map<string, number[]>();
  source.items.forEach(({ path }, index) => {
    exact.set(path, index);
    const name = getBaseName(path);
    const same = byName.get(name);
    if (same === undefined) byName.set(name, [index]);
    else same.push(index);
  });
  return (raw) => {
    const path = normalizePath(raw);
    const found = exact.get(path);
    if (found !== undefined) return found;
    const agreeing = (byName.get(getBaseName(path)) ?? []).filter((index) => {
      const own = getItem(source, index).path;
      return own.endsWith(`/${path}`) || path.endsWith(`/${own}`);
    });
    if (agreeing.length > 1) {
      const [first = 0, second = 0] = agreeing;
      throw new UsageError(
        `"${raw}" names ${agreeing.length} images of "${source.name}", among them "${getItem(source, first).path}" and "${getItem(source, second).path}". Give more of the path.`,
      );
    }
    return agreeing[0];
  };
}

/**
 * The index of the image with this path, or with this end of a path when only one image has it.
 *
 * @throws UsageError when there is none (with the nearest name) or more than one.
 */
export function findIndexByPath(source: ImageSource, path: string): number {
  const index = createPathIndex(source)(path);
  if (index !== undefined) return index;
  const name = getBaseName(normalizePath(path));
  // File names of one length are near enough to one another for the suggestion, and few enough to compare.
  const names = source.items.map((item) => getBaseName(item.path)).filter((other) => other.length === name.length);
  throw new UsageError(`"${source.name}" has no image "${path}".${formatSuggestion(name, names.slice(0, 1000))}`);
}

/** Names of `ids` from `words.txt`: lines of an id, a tab and names divided by commas, of which the first is taken. */
export function parseWords(text: string, ids: Iterable<string>): Map<string, string> {
  const wanted = new Set(ids);
  const names = new Map<string, string>();
  for (const line of text.split('\n')) {
    const id = line.slice(0, Math.max(0, line.indexOf('\t')));
    if (!wanted.has(id)) continue;
    const name = line
      .slice(id.length + 1)
      .split(',')[0]
      ?.trim();
    if (name) names.set(id, name);
  }
  return names;
}

/** Paths of a split file: one a line, blank lines left out, with the number of each line (from 1). */
export function parseSplit(text: string): { path: string; line: number }[] {
  return text
    .split(/\r?\n/)
    .map((path, i) => ({ path: path.trim(), line: i + 1 }))
    .filter(({ path }) => path !== '');
}

/**
 * The images that a split file names, in its order.
 *
 * @param file names the split file in errors.
 * @throws ShiboriError with the line of an image that the source does not have.
 */
export function applySplit(source: ImageSource, splitText: string, file: string): ImageSource {
  const lookUp = createPathIndex(source);
  const lines = parseSplit(splitText);
  if (lines.length === 0) throw new ShiboriError(`The split file "${file}" names no images.`, { code: 'invalid-data' });
  const found = lines.map(({ path, line }) => ({ path, line, index: lookUp(path) }));
  const missing = found.filter(({ index }) => index === undefined);
  const first = missing[0];
  if (first !== undefined) {
    const others = missing.length > 1 ? ` (and ${missing.length - 1} more lines are missing)` : '';
    throw new ShiboriError(
      `Line ${first.line} of the split file "${file}" names "${first.path}", which "${source.name}" does not have${others}. It was made for another data set, or the data set is incomplete.`,
      { code: 'invalid-data' },
    );
  }
  return takeSubset(
    source,
    found.map(({ index }) => index ?? 0),
    getBaseName(normalizePath(file)).replace(/\.[^.]+$/, ''),
  );
}
