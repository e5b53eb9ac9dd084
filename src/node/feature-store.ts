import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { ShiboriError } from '../errors.js';
import type { FeatureStore } from '../train/feature-store.js';
import { reasonOf } from './disk-error.js';

/** A digest of whatever decides what features are: prefix, images, preprocessing, augmentation. */
export function featureKey(parts: Iterable<string | Uint8Array>): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part).update('\0');
  return hash.digest('hex').slice(0, 32);
}

interface ViewFiles {
  readonly data: number;
  readonly marks: number;
  readonly present: Uint8Array;
}

/**
 * A store on disk: for each view a file of records, and a file with one byte for each record that is there whole. The
 * mark is written after the record, so a process that is killed in between leaves a record that counts as missing.
 *
 * @param folder of this store alone; its name should hold the key of what the features are of.
 */
export function diskStore(folder: string, count: number, elements: number): FeatureStore {
  mkdirSync(folder, { recursive: true });
  const recordBytes = elements * 4;
  const views = new Map<number, ViewFiles>();
  const viewOf = (view: number): ViewFiles => {
    let files = views.get(view);
    if (files) return files;
    const open = (name: string, size: number) => {
      const path = join(folder, name);
      const descriptor = openSync(path, existsSync(path) ? 'r+' : 'w+');
      if (statSync(path).size !== size) ftruncateSync(descriptor, size);
      return descriptor;
    };
    const data = open(`view-${view}.f32`, count * recordBytes);
    const marks = open(`view-${view}.present`, count);
    const present = new Uint8Array(count);
    readSync(marks, present, 0, count, 0);
    files = { data, marks, present };
    views.set(view, files);
    return files;
  };
  return {
    has: (view, index) => viewOf(view).present[index] === 1,
    read(view, indices, target) {
      const { data } = viewOf(view);
      const bytes = new Uint8Array(target.buffer, target.byteOffset, target.byteLength);
      for (let i = 0; i < indices.length; i++) {
        const read = readSync(data, bytes, i * recordBytes, recordBytes, (indices[i] as number) * recordBytes);
        if (read !== recordBytes)
          throw new ShiboriError(
            `Reading cached features in "${folder}": the file is cut short. Delete the folder and try again.`,
          );
      }
    },
    write(view, indices, features) {
      const { data, marks, present } = viewOf(view);
      const bytes = new Uint8Array(features.buffer, features.byteOffset, features.byteLength);
      try {
        for (let i = 0; i < indices.length; i++) {
          const index = indices[i] as number;
          writeSync(data, bytes, i * recordBytes, recordBytes, index * recordBytes);
          writeSync(marks, Uint8Array.of(1), 0, 1, index);
          present[index] = 1;
        }
      } catch (error) {
        throw new ShiboriError(
          `Caching features in "${folder}": ${reasonOf(error)}. Free some space, or choose another folder with SHIBORI_HOME.`,
        );
      }
    },
    close() {
      for (const { data, marks } of views.values()) {
        closeSync(data);
        closeSync(marks);
      }
      views.clear();
    },
  };
}

/**
 * Makes room in a folder of stores: deletes those that were used longest ago until the rest and `needed` bytes fit the
 * limit. `keep` is never deleted; it is marked as used now.
 */
export function makeRoom(folder: string, keep: string, needed: number, limit: number): void {
  if (!existsSync(folder)) return;
  const sizeOf = (path: string) =>
    readdirSync(path).reduce((sum, name) => sum + statSync(join(path, name)).blocks * 512, 0);
  const stores = readdirSync(folder)
    .filter((name) => name !== keep)
    .map((name) => ({ path: join(folder, name), used: statSync(join(folder, name)).mtimeMs }))
    .sort((a, b) => b.used - a.used);
  let total = needed;
  for (const { path } of stores) {
    total += sizeOf(path);
    if (total > limit) rmSync(path, { recursive: true, force: true });
  }
  const own = join(folder, keep);
  if (existsSync(own)) utimesSync(own, new Date(), new Date());
}
