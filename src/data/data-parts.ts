/*
 * Finds where a data set lies in a tree of files, and which of its parts (`train`, `val`, `test`) serves a purpose: a model
 * is measured on images that it was not trained on.
 */
import { formatSuggestion, ShiboriError, UsageError } from '../errors.js';
import { IMAGE_EXTENSIONS, isImagePath } from './image-folder.js';
import type { DataPart, PartKind } from './image-items.js';

/** What images are wanted for: learning (training, calibration), choosing (validation), or a final measurement. */
export type Purpose = 'train' | 'validate' | 'measure';

/** The names that folders of parts have, in any case. */
const kindsByFolder: Readonly<Record<string, PartKind>> = {
  train: 'train',
  training: 'train',
  val: 'val',
  valid: 'val',
  validation: 'val',
  test: 'test',
  testing: 'test',
};

/** The parts that serve a purpose, the best first. */
const preferredKinds: Readonly<Record<Purpose, readonly PartKind[]>> = {
  train: ['train'],
  validate: ['val', 'test', 'train'],
  measure: ['test', 'val', 'train'],
};

/** What an error calls a purpose. */
const purposeNames: Readonly<Record<Purpose, string>> = {
  train: 'training',
  validate: 'validation',
  measure: 'measuring',
};

/** Labels of images that lie in one folder, as in Tiny ImageNet's `val`. */
export const ANNOTATIONS = 'val_annotations.txt';

/** Where a data set lies in a tree. */
export interface DataSetLayout {
  /** The data set's folder, empty or ending in `/`: paths of images and split files are relative to it. */
  readonly root: string;
  /** Its parts; none where the folders in `root` are classes. */
  readonly parts: readonly DataPart[];
  /** Whether the images have labels, where there are no parts. */
  readonly labelled: boolean;
}

/** What of a data set is taken. */
export interface ChosenPart {
  /** The folder with the class folders, empty or ending in `/`. */
  readonly itemRoot: string;
  readonly labelled: boolean;
  readonly part?: string;
  readonly notes: readonly string[];
}

/** The folders directly in `root` that hold images, and how many images lie in `root` itself. */
function listFolders(images: readonly string[], root: string): { folders: Set<string>; loose: number } {
  const folders = new Set<string>();
  let loose = 0;
  for (const path of images) {
    if (!path.startsWith(root)) continue;
    const end = path.indexOf('/', root.length);
    if (end < 0) loose++;
    else folders.add(path.slice(root.length, end));
  }
  return { folders, loose };
}

/** The parts of the data set in `root`; none where its folders are classes. */
function findParts(paths: readonly string[], images: readonly string[], root: string, folders: ReadonlySet<string>) {
  const named = [...folders].sort().flatMap((name) => {
    const kind = kindsByFolder[name.toLowerCase()];
    return kind ? [{ name, kind, classes: listFolders(images, `${root}${name}/`).folders }] : [];
  });
  // A folder of images alone is a class that happens to be called so (trains), unless all are called like parts.
  const withClasses = named.filter(({ classes }) => classes.size > 0);
  const countKinds = (list: typeof named) => new Set(list.map(({ kind }) => kind)).size;
  const all = named.length === folders.size && (withClasses.length > 0 || countKinds(named) > 1);
  if (!all && !withClasses.some(({ kind }) => kind === 'train') && countKinds(withClasses) < 2) return [];
  const trained = new Set(named.filter(({ kind }) => kind === 'train').flatMap(({ classes }) => [...classes]));
  return named.map(({ name, kind, classes }): DataPart => {
    const isClass = (folder: string) =>
      trained.size > 0 ? trained.has(folder) : classes.size > 1 || folder !== 'images';
    const labelled = paths.includes(`${root}${name}/${ANNOTATIONS}`) || [...classes].some(isClass);
    return { name, kind, labelled };
  });
}

/**
 * Finds the data set in a tree: goes down while there is but one folder, until there are parts, classes or images.
 *
 * @param name names the tree in errors.
 * @throws ShiboriError when there are no images.
 */
export function findLayout(paths: readonly string[], name: string): DataSetLayout {
  const images = paths.filter(isImagePath);
  if (images.length === 0) {
    throw new ShiboriError(
      `"${name}" holds no images: looked through ${paths.length} files for names ending in ${IMAGE_EXTENSIONS.join(', ')}. Expected a folder for each class with its images inside, or images without labels.`,
      { code: 'invalid-data' },
    );
  }
  let root = '';
  for (;;) {
    const { folders, loose } = listFolders(images, root);
    const parts = findParts(paths, images, root, folders);
    if (parts.length > 0) return { root, parts, labelled: true };
    const [only] = folders;
    const isLonely = only !== undefined && folders.size === 1 && loose === 0;
    if (!isLonely || listFolders(images, `${root}${only}/`).folders.size === 0) {
      return { root, parts: [], labelled: folders.size > 0 || paths.includes(`${root}${ANNOTATIONS}`) };
    }
    root = `${root}${only}/`;
  }
}

const quoteNames = (names: Iterable<string>): string => [...names].map((name) => `"${name}"`).join(', ');

/** The part that is asked for by name: a folder, or the usual name of its kind. */
function findNamedPart(
  { root, parts }: DataSetLayout,
  images: readonly string[],
  name: string,
  wanted: string,
): DataPart {
  const key = wanted.toLowerCase();
  const found =
    parts.find((part) => part.name.toLowerCase() === key) ?? parts.find(({ kind }) => kind === kindsByFolder[key]);
  if (found) return found;
  const { folders } = listFolders(images, root);
  // Folders of class folders are parts whatever they are called.
  if (folders.has(wanted) && listFolders(images, `${root}${wanted}/`).folders.size > 0) {
    return { name: wanted, kind: 'test', labelled: true };
  }
  const names = parts.map((part) => part.name);
  throw new UsageError(
    names.length === 0
      ? `\`part: '${wanted}'\`: "${name}" has no parts: expected folders such as train, val and test with class folders inside, found ${quoteNames([...folders].slice(0, 5)) || 'images without folders'}.`
      : `\`part: '${wanted}'\`: "${name}" has no such part.${formatSuggestion(wanted, names)} It has ${quoteNames(names)}.`,
    { option: 'part' },
  );
}

/**
 * Chooses the part of a data set.
 *
 * @param paths all files of the tree.
 * @param name names the tree in errors and notes.
 * @throws UsageError for a part that does not exist, and where several parts are there and none serves the purpose.
 */
export function choosePart(
  layout: DataSetLayout,
  paths: readonly string[],
  name: string,
  request: { readonly part?: string; readonly purpose: Purpose },
): ChosenPart {
  const { root, parts } = layout;
  const images = paths.filter(isImagePath);
  const takePart = (part: DataPart, notes: readonly string[]): ChosenPart => ({
    itemRoot: `${root}${part.name}/`,
    labelled: part.labelled,
    part: part.name,
    notes,
  });
  if (request.part !== undefined) return takePart(findNamedPart(layout, images, name, request.part), []);
  if (parts.length === 0) {
    const { loose } = listFolders(images, root);
    const left = layout.labelled && loose > 0 && !paths.includes(`${root}${ANNOTATIONS}`);
    const notes = left ? [`"${name}": ${loose} images that lie in no class folder are left out.`] : [];
    return { itemRoot: root, labelled: layout.labelled, notes };
  }
  const { purpose } = request;
  const candidates = preferredKinds[purpose].flatMap((kind) => parts.filter((part) => part.kind === kind));
  const [only] = parts;
  const part = candidates.find(({ labelled }) => labelled) ?? candidates[0] ?? (parts.length === 1 ? only : undefined);
  const names = parts.map((each) => each.name);
  if (!part) {
    throw new UsageError(
      `"${name}" has no part for ${purposeNames[purpose]}, found ${quoteNames(names)}. Say which with \`part\`, or give other images with \`data\`.`,
      { option: 'part' },
    );
  }
  const unlabelled = candidates.filter((each) => !each.labelled && each !== part).map((each) => each.name);
  const skipped = unlabelled.length > 0 ? `; ${quoteNames(unlabelled)} has no labels` : '';
  const others = names.length > 1 ? ' (`part` takes another)' : '';
  const usual = preferredKinds[purpose][0] === part.kind && names.length === 1;
  const note = `"${name}" has the part${names.length > 1 ? 's' : ''} ${quoteNames(names)}: "${part.name}" is used${others}${skipped}.`;
  return takePart(part, usual ? [] : [note]);
}
