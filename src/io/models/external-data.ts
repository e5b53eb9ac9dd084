/*
 * Weights that an ONNX file keeps in files next to it. What the model says is not trusted, what the person put next to it
 * is: a path in the model stays inside the model's folder, also where one of its folders is a link; but a data file there
 * may be a link to anywhere, as in the caches of model hubs and on shared disks. Where such a link leads to neither the
 * model's folder nor that of the real model file, a note says where.
 */
import { closeSync, constants, existsSync, fstatSync, openSync, readSync, realpathSync } from 'node:fs';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { ShiboriError } from '../../errors.js';
import type { ExternalReader } from '../../formats/onnx/external.js';
import { isLink, listModelFolders } from './model-folders.js';

/** Reads are split into pieces of at most this size: Node reads no more than 2 GB at once. */
const PIECE = 2 ** 30;

/** What reads the external data of a model, and notes on where they were. */
export interface ExternalDataFiles {
  readonly read: ExternalReader;
  readonly notes: readonly string[];
  /** Paths of the files that were read so far. */
  files(): readonly string[];
}

/** The reader of the external data of a model file. */
export function openExternalData(model: string): ExternalDataFiles {
  const folders = listModelFolders(model);
  const notes: string[] = [];
  const found = new Map<string, string>();
  return {
    notes,
    files: () => [...found.values()],
    read: (location, offset, length) => {
      const fail = (reason: string) => {
        return new ShiboriError(`Reading ${model}: its external data "${location}" ${reason}.`, {
          code: 'invalid-file',
          file: model,
        });
      };
      const path = found.get(location) ?? findDataFile(location, folders, fail);
      if (!found.has(location)) {
        found.set(location, path);
        const real = realpathSync(path);
        const isNear = folders.some((folder) => real.startsWith(realpathSync(folder) + sep));
        if (!isNear) notes.push(`External data "${location}" of the model are a link to ${real}.`);
      }
      return readFilePart(path, offset, length, fail);
    },
  };
}

/** The data file, in the first of the folders that has it. */
function findDataFile(location: string, folders: readonly string[], fail: (reason: string) => ShiboriError): string {
  for (const folder of folders) {
    const path = resolve(folder, location);
    if (!existsSync(path)) {
      if (isLink(path)) throw fail(`is a link to a file that is not there: ${path}. Download the model again`);
      continue;
    }
    const root = realpathSync(folder);
    const inside = realpathSync(dirname(path));
    if (inside !== root && !inside.startsWith(root + sep)) {
      throw fail(
        `lies outside of the model's folder: the folder "${dirname(location)}" in it is a link to ${inside}. ` +
          'Put the data file, or a link to it, into the folder of the model',
      );
    }
    return join(inside, basename(path));
  }
  throw fail(
    `is missing: the weights are not in the model file but in ${resolve(folders[0] ?? '.', location)}. Put it there`,
  );
}

function readFilePart(
  path: string,
  offset: number,
  length: number | undefined,
  fail: (reason: string) => ShiboriError,
): Uint8Array {
  // Opening a pipe waits for its other end.
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stats = fstatSync(descriptor);
    if (!stats.isFile()) throw fail(`is no file but ${stats.isDirectory() ? 'a folder' : 'a device or pipe'}: ${path}`);
    const wanted = length ?? stats.size - offset;
    if (offset < 0 || wanted < 0 || offset + wanted > stats.size) {
      throw fail(`has ${stats.size} bytes, the model asks for ${offset} to ${offset + wanted}`);
    }
    const bytes = new Uint8Array(wanted);
    for (let at = 0; at < wanted; ) {
      const read = readSync(descriptor, bytes, at, Math.min(PIECE, wanted - at), offset + at);
      if (read === 0) throw fail(`ends at byte ${offset + at}, before the ${offset + wanted} that the model asks for`);
      at += read;
    }
    return bytes;
  } finally {
    closeSync(descriptor);
  }
}
