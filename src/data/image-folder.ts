/*
 * Which files of a tree are labelled images, from their paths alone: torchvision's `ImageFolder` (one folder a class) in
 * the places where data sets keep it, and Tiny ImageNet's `val` folder with its annotations.
 */
import { ShiboriError } from '../errors.js';
import { getBaseName, type ImageItem, UNLABELLED } from './image-items.js';

/** The endings `torchvision.datasets.ImageFolder` takes for images, in any case. */
export const IMAGE_EXTENSIONS = ['.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif', '.tiff', '.webp'] as const;

const imagePattern = new RegExp(`(${IMAGE_EXTENSIONS.map((extension) => `\\${extension}`).join('|')})$`, 'i');

/** Whether a path is that of an image, and neither it nor a folder on the way is hidden. */
export function isImagePath(path: string): boolean {
  return imagePattern.test(path) && !/(^|\/)(\.|__MACOSX\/)/.test(path);
}

/** By code unit, as Python sorts strings of the basic plane. */
function compareByCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function getFolder(path: string): string {
  return path.slice(0, path.lastIndexOf('/') + 1);
}

/**
 * The images in `paths`, relative to a folder of class folders, as `torchvision.datasets.ImageFolder` lists them: the
 * classes sorted; within a class by folder, then by file name. Files outside any class folder are left out.
 *
 * @param knownClasses all classes of the data set, when they are known from elsewhere. Default: the folders there are.
 */
export function listImageFolderItems(
  paths: Iterable<string>,
  knownClasses: readonly string[] = [],
): { classes: string[]; items: ImageItem[] } {
  const images = [...paths]
    .filter((path) => isImagePath(path) && path.includes('/'))
    .map((path) => ({ path, id: path.slice(0, path.indexOf('/')), folder: getFolder(path) }));
  const folders = new Set(images.map(({ id }) => id));
  const known = new Set(knownClasses);
  // A list that lacks a folder belongs to other data, and would give its images no label.
  const ids = [...folders].every((id) => known.has(id)) ? known : folders;
  const classes = [...ids].sort(compareByCodeUnit);
  const labels = new Map(classes.map((id, label) => [id, label]));
  const items = images
    .sort(
      (a, b) =>
        compareByCodeUnit(a.id, b.id) || compareByCodeUnit(a.folder, b.folder) || compareByCodeUnit(a.path, b.path),
    )
    .map(({ path, id }) => ({ path, label: labels.get(id) ?? 0 }));
  return { classes, items };
}

/**
 * The images that Tiny ImageNet's `val_annotations.txt` labels (lines of file name, tab, class, …), sorted by path.
 *
 * @throws ShiboriError for an image without a label.
 */
export function listAnnotatedItems(
  paths: Iterable<string>,
  annotations: string,
  knownClasses: readonly string[],
): { classes: string[]; items: ImageItem[] } {
  const classByFile = new Map<string, string>();
  for (const line of annotations.split(/\r?\n/)) {
    const [file, id] = line.split('\t');
    if (file && id) classByFile.set(file, id);
  }
  const known = new Set(knownClasses);
  const ids = new Set(classByFile.values());
  const classes = [...([...ids].every((id) => known.has(id)) ? known : ids)].sort(compareByCodeUnit);
  const labels = new Map(classes.map((id, label) => [id, label]));
  const items = [...paths]
    .filter(isImagePath)
    .sort(compareByCodeUnit)
    .map((path) => {
      const label = labels.get(classByFile.get(getBaseName(path)) ?? '');
      if (label === undefined)
        throw new ShiboriError(`The annotations have no class for the image "${path}".`, { code: 'invalid-data' });
      return { path, label };
    });
  return { classes, items };
}

/** Images without labels, sorted by path. */
export function listUnlabelledItems(paths: Iterable<string>): ImageItem[] {
  return [...paths]
    .filter(isImagePath)
    .sort(compareByCodeUnit)
    .map((path) => ({ path, label: UNLABELLED }));
}
