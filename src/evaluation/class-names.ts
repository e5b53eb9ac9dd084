import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { type ImageClass, parseWords } from '../data/image-items.js';
import { formatSuggestion, UsageError } from '../errors.js';
import { findImagenetNames } from '../models/imagenet-names.js';

/** How far up from an image its data set's `words.txt` is looked for. */
const LEVELS = 5;

/**
 * The classes of the data set that an image file lies in (`…/train/n01443537/images/x.JPEG` next to a `words.txt`), when
 * there are as many as the model tells apart; otherwise `undefined`.
 */
export function findClassesNear(image: string, count: number): ImageClass[] | undefined {
  let folder = dirname(resolve(image));
  for (let level = 0; level < LEVELS; level++, folder = dirname(folder)) {
    const words = join(folder, 'words.txt');
    const train = join(folder, 'train');
    if (!existsSync(words) || !existsSync(train)) continue;
    const ids = readdirSync(train, { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? [entry.name] : [],
    );
    if (ids.length !== count) return undefined;
    const names = parseWords(readFileSync(words, 'utf8'), ids);
    return ids.sort().map((id) => ({ id, name: names.get(id) ?? id }));
  }
  return undefined;
}

/**
 * Names of a model's classes in the order of its outputs: what is known; where nothing is, those of ImageNet for as many
 * outputs as these, or `class 0`, `class 1`, …
 */
export function buildClassNames(known: readonly ImageClass[] | readonly string[] | undefined, count: number): string[] {
  const names = known ?? findImagenetNames(count);
  return Array.from({ length: count }, (_, index) => {
    const entry = names?.[index];
    return (typeof entry === 'string' ? entry : entry?.name) ?? `class ${index}`;
  });
}

/**
 * The class that a person named: an index, a name (`goldfish`) or an id (`n01443537`).
 *
 * @throws UsageError for an index out of range or an unknown name, with the nearest one.
 */
export function resolveClass(spec: string, names: readonly string[], ids: readonly string[] = []): number {
  if (/^-?\d+$/.test(spec)) {
    const index = Number(spec);
    if (index >= 0 && index < names.length) return index;
    throw new UsageError(`Class ${spec} is out of range: the model has classes 0 to ${names.length - 1}.`);
  }
  const index = names.findIndex((name) => name.toLowerCase() === spec.toLowerCase());
  if (index >= 0) return index;
  const byId = ids.indexOf(spec);
  if (byId >= 0) return byId;
  throw new UsageError(
    `No class is called "${spec}".${formatSuggestion(spec, [...names, ...ids])} Give an index from 0 to ${names.length - 1} or a name; names come from \`data\` or from words.txt beside the images.`,
  );
}
