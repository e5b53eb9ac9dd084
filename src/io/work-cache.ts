import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { z } from 'zod';
import { readSafetensors } from '../formats/safetensors/read.js';
import { writeSafetensors } from '../formats/safetensors/write.js';
import type { Tensor } from '../tensor/tensor.js';
import { writeFileAtomic } from './atomic-file.js';
import { readWholeFile } from './models/model-file.js';

/** Something that a long job found on its way. */
export interface CachedResult<T> {
  readonly value: T;
  readonly tensors: ReadonlyMap<string, Tensor>;
}

/** Stores the results of a long job so far, so that a stopped one is resumed where it was. */
export interface WorkCache {
  /** The folder that other files of the job go to; `undefined`: nothing is kept. */
  readonly folder: string | undefined;
  /** What was kept under a name; `undefined` when nothing was, or when it cannot be read any more. */
  read<T>(name: string, schema: z.ZodType<T>): Promise<CachedResult<T> | undefined>;
  /** Keeps a value that JSON can hold, and tensors. */
  write(name: string, value: unknown, tensors?: ReadonlyMap<string, Tensor>): Promise<void>;
}

/** Keeps nothing. */
export const noWorkCache: WorkCache = { folder: undefined, read: async () => undefined, write: async () => {} };

/** What a memory's files and folders are called: a kind, a key of 32 digits, and what else tells them apart. */
const CACHE_FILE_NAME = /^[a-z]+-[0-9a-f]{32}(-[\w.-]+)?(\.(safetensors|onnx))?$/;

/** Deletes what a memory keeps in a folder, and nothing else that may be there. */
export async function clearWorkCache(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    if (CACHE_FILE_NAME.test(name)) await rm(join(folder, name), { recursive: true, force: true });
  }
}

/** Metadata entry that holds the value as JSON. */
const VALUE_KEY = 'value';

/**
 * A memory of files `NAME.safetensors` in a folder, each replaced as a whole. One that is damaged is as good as none: what
 * it held is computed again.
 *
 * @throws ShiboriError from `keep`, when the disk is full or the folder cannot be written to.
 */
export function openWorkCache(folder: string): WorkCache {
  const getFile = (name: string) => join(folder, `${name}.safetensors`);
  return {
    folder,
    async read(name, schema) {
      const file = getFile(name);
      if (!existsSync(file)) return undefined;
      try {
        const { tensors, metadata } = readSafetensors(await readWholeFile(file, 'work so far'), file);
        return { value: schema.parse(JSON.parse(metadata[VALUE_KEY] ?? '')), tensors };
      } catch {
        return undefined;
      }
    },
    async write(name, value, tensors = new Map()) {
      await writeFileAtomic(getFile(name), writeSafetensors(tensors, { [VALUE_KEY]: JSON.stringify(value) }));
    },
  };
}
