import { existsSync } from 'node:fs';
import { type FileHandle, open, readdir, readFile, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import {
  ANNOTATIONS,
  type ChosenPart,
  choosePart,
  type DataSetLayout,
  findLayout,
  type Purpose,
} from '../data/data-parts.js';
import { isImagePath, listAnnotatedItems, listImageFolderItems, listUnlabelledItems } from '../data/image-folder.js';
import {
  applySplit,
  getItem,
  type ImageSource,
  normalizePath,
  parseSplit,
  parseWords,
  takeSubset,
} from '../data/image-items.js';
import { formatSuggestion, UsageError } from '../errors.js';
import { randomSplit } from '../tensor/random.js';
import { defined } from '../values.js';
import { type FileTree, openFolder } from './image-source-tree.js';
import { openZip } from './image-source-zip.js';

export interface ImageSourceOptions {
  /** For a split file: the folder or zip archive its images are in. Default: searched next to the split file. */
  readonly root?: string;
  /** A split file: these images only, in its order. */
  readonly split?: string;
  /** Part `part` of PyTorch's `random_split` with these fractions and seed. */
  readonly randomSplit?: { readonly fractions: readonly number[]; readonly seed: number; readonly part: number };
  /** The part of the data set to take: the name of a folder (`val`). Default: by `purpose`. */
  readonly part?: string;
  /**
   * What the images are for, which chooses among the data set's parts: `train` takes `train`; `validate` val, else test;
   * `measure` test, else val. Default: `train`.
   */
  readonly purpose?: Purpose;
}

type SourceKind = 'folder' | 'zip' | 'split';

/** A local header, or the end record of an empty archive. */
const zipStarts: readonly number[] = [0x04034b50, 0x06054b50];

/** A split file is read whole; a line for each of a million images fits. */
const MAX_SPLIT_BYTES = 256 * 2 ** 20;

async function readStart(handle: FileHandle, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, 0);
  return buffer.subarray(0, bytesRead);
}

/** What a path holds, by its first bytes. */
async function detectSourceKind(path: string): Promise<SourceKind> {
  const info = await stat(path).catch(() => undefined);
  if (info === undefined) {
    const siblings = await readdir(dirname(path)).catch(() => []);
    throw new UsageError(
      `There is no data at "${path}". Expected a folder of class folders, a .zip of one, or a split file.${formatSuggestion(basename(path), siblings)}`,
    );
  }
  if (info.isDirectory()) return 'folder';
  const handle = await open(path);
  const start = await readStart(handle, 4096).finally(() => handle.close());
  if (start.length >= 4 && zipStarts.includes(start.readUInt32LE(0))) return 'zip';
  const firstLine = start.toString('utf8').trimStart().split(/\r?\n/)[0]?.trim() ?? '';
  if (!path.toLowerCase().endsWith('.zip') && !start.includes(0) && isImagePath(firstLine)) return 'split';
  throw new UsageError(
    info.size === 0
      ? `The file "${path}" is empty. Expected a folder of class folders, a .zip of one, or a split file.`
      : `The file "${path}" is neither a zip archive nor a split file (paths of images, one a line).`,
  );
}

/** Text of a file of the data set, wanted for its class names; `undefined` when there is none. */
async function readDatasetText(
  tree: FileTree,
  root: string,
  itemRoot: string,
  name: string,
): Promise<string | undefined> {
  for (const folder of [root, itemRoot]) {
    if (tree.paths.includes(`${folder}${name}`)) return new TextDecoder().decode(await tree.read(`${folder}${name}`));
  }
  // Where the `train` folder itself is named, the class names are next to it.
  const sibling = join(tree.name, '..', name);
  return root === '' && existsSync(sibling) ? readFile(sibling, 'utf8') : undefined;
}

/** Classes that a data set has by its `wnids.txt`, or those of the part that is for training. */
async function listKnownClasses(tree: FileTree, { root, parts }: DataSetLayout, itemRoot: string): Promise<string[]> {
  const listed = await readDatasetText(tree, root, itemRoot, 'wnids.txt');
  if (listed !== undefined) return listed.split(/\s+/).filter((id) => id !== '');
  const train = `${root}${parts.find(({ kind }) => kind === 'train')?.name ?? 'train'}/`;
  const ids = tree.paths
    .filter((path) => path.startsWith(train) && isImagePath(path))
    .map((path) => path.slice(train.length).split('/'))
    .flatMap(([id = '', ...rest]) => (rest.length > 0 ? [id] : []));
  return itemRoot === train ? [] : [...new Set(ids)];
}

/** Which part of a data set is opened. */
interface PartRequest {
  readonly part?: string;
  readonly purpose: Purpose;
  /** The first path of a split file: without `part`, the part that has it is taken. */
  readonly holding?: string;
}

/** The part that a split file is of. */
function findPartHolding({ root, parts }: DataSetLayout, paths: readonly string[], split: string): string | undefined {
  const path = normalizePath(split);
  const agrees = (own: string) => own === path || own.endsWith(`/${path}`) || path.endsWith(`/${own}`);
  const holds = (folder: string) => paths.some((each) => each.startsWith(folder) && agrees(each.slice(root.length)));
  return parts.find(({ name }) => holds(`${root}${name}/`))?.name;
}

/** The images of what was chosen, and their classes. */
async function listItems(tree: FileTree, layout: DataSetLayout, { itemRoot, labelled }: ChosenPart) {
  const paths = tree.paths.filter((path) => path.startsWith(itemRoot)).map((path) => path.slice(itemRoot.length));
  if (!labelled) return { classes: [], items: listUnlabelledItems(paths) };
  const known = await listKnownClasses(tree, layout, itemRoot);
  if (!paths.includes(ANNOTATIONS)) return listImageFolderItems(paths, known);
  const annotations = new TextDecoder().decode(await tree.read(`${itemRoot}${ANNOTATIONS}`));
  return listAnnotatedItems(paths, annotations, known);
}

async function buildTreeSource(tree: FileTree, kind: 'folder' | 'zip', request: PartRequest): Promise<ImageSource> {
  const layout = findLayout(tree.paths, tree.name);
  const { root, parts } = layout;
  const holding =
    request.part === undefined && request.holding ? findPartHolding(layout, tree.paths, request.holding) : undefined;
  const asked = holding === undefined ? request : { ...request, part: holding };
  const chosen = choosePart(layout, tree.paths, tree.name, asked);
  const { itemRoot, part, notes } = chosen;
  const { classes, items: inFolder } = await listItems(tree, layout, chosen);
  const prefix = itemRoot.slice(root.length);
  const items = inFolder.map(({ path, label }) => ({ path: `${prefix}${path}`, label }));
  const words = parseWords((await readDatasetText(tree, root, itemRoot, 'words.txt')) ?? '', classes);
  const name = basename(resolve(tree.name)).replace(/\.zip$/i, '');
  const getPath = (index: number) => `${root}${getItem({ name, items }, index).path}`;
  return {
    name,
    items,
    classes: classes.map((id) => ({ id, name: words.get(id) ?? id })),
    read: async (index) => tree.read(getPath(index)),
    origin: { kind, path: tree.name, root },
    ...defined({ part }),
    ...(parts.length > 0 && { parts }),
    ...(notes.length > 0 && { notes }),
    ...(tree.entryOf && { entryOf: (index) => tree.entryOf?.(getPath(index)) }),
    close: () => tree.close(),
  };
}

async function openTree(
  path: string,
  kind: 'folder' | 'zip',
  request: PartRequest,
  only?: string,
): Promise<ImageSource> {
  const tree = kind === 'zip' ? await openZip(path) : await openFolder(path, only);
  try {
    return await buildTreeSource(tree, kind, request);
  } catch (error) {
    await tree.close();
    throw error;
  }
}

async function holdsPath(candidate: string, path: string): Promise<boolean> {
  if ((await stat(candidate)).isDirectory()) {
    const inside = await readdir(candidate, { withFileTypes: true });
    const folders = inside.filter((entry) => entry.isDirectory());
    const roots = [candidate, ...(folders.length === 1 ? [join(candidate, folders[0]?.name ?? '')] : [])];
    return roots.some((root) => existsSync(join(root, path)));
  }
  if (!candidate.toLowerCase().endsWith('.zip')) return false;
  // An archive that cannot be opened holds nothing for us; named explicitly, it says what is wrong.
  const archive = await openZip(candidate).catch(() => undefined);
  await archive?.close();
  return archive?.paths.some((own) => own === path || own.endsWith(`/${path}`)) ?? false;
}

/** The data set that a split file without a `root` option belongs to. */
async function openSplitFileSource(splitFile: string, splitText: string, request: PartRequest): Promise<ImageSource> {
  const first = parseSplit(splitText)[0];
  const folder = dirname(resolve(splitFile));
  if (first === undefined) throw new UsageError(`The split file "${splitFile}" names no images.`);
  const path = normalizePath(first.path);
  const [part, ...rest] = path.split('/');
  const only = rest.length > 1 && (part === 'train' || part === 'val' || part === 'test') ? part : undefined;
  if (existsSync(join(folder, path))) return openTree(folder, 'folder', request, only);
  const siblings = (await readdir(folder)).filter((name) => !name.startsWith('.')).map((name) => join(folder, name));
  const holding: string[] = [];
  for (const sibling of siblings) if (await holdsPath(sibling, path)) holding.push(sibling);
  const [holder] = holding;
  if (holder === undefined || holding.length > 1) {
    const found =
      holder === undefined ? 'none has it' : `${holding.map((name) => `"${basename(name)}"`).join(' and ')} have it`;
    throw new UsageError(
      `Line ${first.line} of the split file "${splitFile}" names "${first.path}": looked in "${folder}" and in the folders and zip archives there, ${found}. Say with the root option which folder or zip archive the images are in.`,
    );
  }
  return openTree(holder, await detectTreeKind(holder), request);
}

async function detectTreeKind(path: string): Promise<'folder' | 'zip'> {
  const kind = await detectSourceKind(path);
  if (kind === 'split')
    throw new UsageError(`"${path}" is a split file. Expected a folder of class folders or a .zip of one.`);
  return kind;
}

async function readSplit(file: string): Promise<string> {
  const info = await stat(file).catch(() => undefined);
  if (!info?.isFile()) throw new UsageError(`There is no split file "${file}".`);
  if (info.size > MAX_SPLIT_BYTES) throw new UsageError(`"${file}" has ${info.size} bytes, too many for a split file.`);
  return readFile(file, 'utf8');
}

async function openAllOfSpec(spec: string, options: ImageSourceOptions): Promise<ImageSource> {
  const kind = await detectSourceKind(spec);
  const { root, part, split, randomSplit: random, purpose = 'train' } = options;
  // A random split is one of the images for training, whichever of its parts is wanted.
  const request = { ...defined({ part }), purpose: random === undefined ? purpose : 'train' } as const;
  const buildRequest = (text: string) => ({ ...request, holding: parseSplit(text)[0]?.path ?? '' });
  if (kind !== 'split') {
    if (root !== undefined) throw new UsageError(`The root option goes with a split file, "${spec}" is not one.`);
    return openTree(spec, kind, split === undefined ? request : buildRequest(await readSplit(split)));
  }
  const text = await readSplit(spec);
  const own = buildRequest(text);
  const whole = await (root === undefined
    ? openSplitFileSource(spec, text, own)
    : openTree(root, await detectTreeKind(root), own));
  return closeOnError(whole, () => applySplit(whole, text, spec));
}

async function closeOnError(
  source: ImageSource,
  derive: () => ImageSource | Promise<ImageSource>,
): Promise<ImageSource> {
  try {
    return await derive();
  } catch (error) {
    await source.close?.();
    throw error;
  }
}

function takePart(
  source: ImageSource,
  { fractions, seed, part }: NonNullable<ImageSourceOptions['randomSplit']>,
): ImageSource {
  const indices = randomSplit(source.items.length, fractions, seed)[part];
  if (indices === undefined) {
    throw new UsageError(`The random split has parts 0…${fractions.length - 1}, there is no part ${part}.`);
  }
  return takeSubset(source, indices);
}

/**
 * Opens images: a folder of class folders (torchvision's `ImageFolder`), a `.zip` of one, or a split file.
 *
 * Descends through single folders, chooses among the data set's parts (`train`, `val`, `test`) by `options.purpose`, and
 * reads class names from `words.txt`. Labels are positions in the sorted list of all the data set's classes, also when a
 * split has fewer; images that lie in no class folder have none. Zip archives are read in place: `close()` the source when
 * done.
 *
 * @throws UsageError when nothing usable is at `spec`; ShiboriError for a damaged archive, a folder without images, or a
 *   split file that names a missing image.
 */
export async function openImageSource(spec: string, options: ImageSourceOptions = {}): Promise<ImageSource> {
  const whole = await openAllOfSpec(spec, options);
  return closeOnError(whole, async () => {
    const { split, randomSplit: random } = options;
    const chosen = split === undefined ? whole : applySplit(whole, await readSplit(split), split);
    return random === undefined ? chosen : takePart(chosen, random);
  });
}
