import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ZipEntry } from '../data/image-items.js';
import { ShiboriError } from '../errors.js';

/** Files under relative paths with forward slashes: a folder or an archive. */
export interface FileTree {
  /** What to call it in errors. */
  readonly name: string;
  readonly paths: readonly string[];
  /** The bytes of a file among `paths`. Throws a ShiboriError when they cannot be had. */
  read(path: string): Promise<Uint8Array>;
  /** In an archive: where a file is in it. */
  entryOf?(path: string): ZipEntry | undefined;
  close(): Promise<void>;
}

async function collectFiles(
  folder: string,
  prefix: string,
  above: ReadonlySet<string>,
  paths: string[],
): Promise<void> {
  const real = await realpath(folder);
  // A link to a folder above would be walked for ever.
  if (above.has(real)) return;
  const seen = new Set([...above, real]);
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = `${prefix}${entry.name}`;
    // A broken link is nothing to read.
    const kind = entry.isSymbolicLink() ? await stat(join(folder, entry.name)).catch(() => undefined) : entry;
    if (kind?.isDirectory()) await collectFiles(join(folder, entry.name), `${path}/`, seen, paths);
    else if (kind?.isFile()) paths.push(path);
  }
}

/** The bytes of a file in a folder. Throws a ShiboriError when they cannot be had. */
export async function readFromFolder(folder: string, path: string): Promise<Uint8Array> {
  try {
    return await readFile(join(folder, path));
  } catch (error) {
    throw new ShiboriError(`Cannot read "${join(folder, path)}": ${error instanceof Error ? error.message : error}.`, {
      code: 'invalid-data',
    });
  }
}

/**
 * The files of a folder and its subfolders, links followed.
 *
 * @param only the one subfolder to read, in addition to the files of the folder itself. Default: all.
 */
export async function openFolder(folder: string, only?: string): Promise<FileTree> {
  const paths: string[] = [];
  if (only === undefined) {
    await collectFiles(folder, '', new Set(), paths);
  } else {
    for (const entry of await readdir(folder, { withFileTypes: true })) if (entry.isFile()) paths.push(entry.name);
    await collectFiles(join(folder, only), `${only}/`, new Set(), paths);
  }
  return {
    name: folder,
    paths,
    read: (path) => readFromFolder(folder, path),
    async close() {},
  };
}
