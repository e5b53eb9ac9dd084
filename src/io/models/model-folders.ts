import { lstatSync, readlinkSync, realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';

/** As many links after each other as Linux follows. */
const MOST_LINKS = 40;

/**
 * The folders that what belongs to a model is looked for in: that of the path given, then, where the file is a link, those
 * of the links it leads through and that of the real file. Caches of models are full of links: Hugging Face's
 * `snapshots/x/m.onnx` leads to `blobs/1`, and `config.json` is only next to the link.
 */
export function listModelFolders(model: string): string[] {
  // As it was given: files found there are shown by the path that the user wrote.
  const folders = [dirname(model)];
  let path = resolve(model);
  for (let links = 0; links < MOST_LINKS && isLink(path); links++) {
    // A link is relative to the real folder it is in.
    path = resolve(realpathSync(dirname(path)), readlinkSync(path));
    const folder = dirname(path);
    if (!folders.some((known) => resolve(known) === folder)) folders.push(folder);
  }
  return folders;
}

/** Whether a path names a link. */
export function isLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
}

/** The folders that configurations of a model are in: transformers.js puts models into a folder `onnx` next to them. */
export function listConfigFolders(model: string): string[] {
  return listModelFolders(model).flatMap((folder) =>
    basename(resolve(folder)) === 'onnx' ? [folder, join(folder, '..')] : [folder],
  );
}
