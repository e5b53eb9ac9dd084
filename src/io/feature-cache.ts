import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { ShiboriError } from '../errors.js';
import type { FeatureStore } from '../train/features-in-memory.js';
import { describeReason, getErrorCode } from './disk-error.js';

/** A digest of whatever decides what features are: prefix, images, preprocessing, augmentation. */
export function computeCacheKey(parts: Iterable<string | Uint8Array>): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part).update('\0');
  return hash.digest('hex').slice(0, 32);
}

/** Version of the files' layout; others are not read. */
const LAYOUT = 1;
/** Holds the dimensions of a store's records. */
const HEADER = 'store.json';

interface ViewFiles {
  readonly data: number;
  readonly marks: number;
  readonly present: Uint8Array;
}

/** Runs what touches the disk; an error says what to do. */
function runOnDisk<T>(folder: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    // Anything but a failed system call is a mistake of ours, or has its words already.
    if (getErrorCode(error) === undefined) throw error;
    throw new ShiboriError(
      `Caching features in "${folder}": ${describeReason(error)}. Free some space, or choose another folder with SHIBORI_HOME.`,
      { code: 'write-failed', file: folder, cause: error },
    );
  }
}

/** Makes the folder ready; records of other dimensions than these are deleted. */
function prepareFolder(folder: string, count: number, elements: number): void {
  mkdirSync(folder, { recursive: true });
  const header = join(folder, HEADER);
  const wanted = JSON.stringify({ layout: LAYOUT, count, elements });
  if (existsSync(header) && readFileSync(header, 'utf8') === wanted) return;
  for (const name of readdirSync(folder)) if (/^view-\d+\.(f32|present)$/.test(name)) rmSync(join(folder, name));
  writeFileSync(header, wanted);
}

/** Opens a file of exactly `size` bytes, zeros where it had none. */
function openSized(path: string, size: number): number {
  const descriptor = openSync(path, existsSync(path) ? 'r+' : 'w+');
  if (fstatSync(descriptor).size !== size) ftruncateSync(descriptor, size);
  return descriptor;
}

/**
 * A store on disk: for each view a file of records, and a file with one byte for each record that is there whole. The
 * mark is written after the record has reached the disk, so a process that is killed in between, or a machine that loses
 * power, leaves a record that counts as missing.
 *
 * @param folder of this store alone; its name should hold the key of what the features are of.
 * @throws ShiboriError when the disk is full or the folder cannot be written.
 */
export function openFeatureCache(folder: string, count: number, elements: number): FeatureStore {
  runOnDisk(folder, () => prepareFolder(folder, count, elements));
  const recordBytes = elements * 4;
  const views = new Map<number, ViewFiles>();
  const openView = (view: number): ViewFiles => {
    let files = views.get(view);
    if (files) return files;
    files = runOnDisk(folder, () => {
      const data = openSized(join(folder, `view-${view}.f32`), count * recordBytes);
      const marks = openSized(join(folder, `view-${view}.present`), count);
      const present = new Uint8Array(count);
      readSync(marks, present, 0, count, 0);
      return { data, marks, present };
    });
    views.set(view, files);
    return files;
  };
  return {
    has: (view, index) => openView(view).present[index] === 1,
    read(view, indices, target) {
      const { data } = openView(view);
      const bytes = new Uint8Array(target.buffer, target.byteOffset, target.byteLength);
      for (let i = 0; i < indices.length; i++) {
        const at = (indices[i] as number) * recordBytes;
        const read = runOnDisk(folder, () => readSync(data, bytes, i * recordBytes, recordBytes, at));
        if (read === recordBytes) continue;
        throw new ShiboriError(
          `Reading cached features in "${folder}": the file is cut short. Delete the folder and try again.`,
          { code: 'invalid-file', file: folder },
        );
      }
    },
    write(view, indices, features) {
      const { data, marks, present } = openView(view);
      const bytes = new Uint8Array(features.buffer, features.byteOffset, features.byteLength);
      runOnDisk(folder, () => {
        for (let i = 0; i < indices.length; i++) {
          writeWhole(
            data,
            bytes.subarray(i * recordBytes, (i + 1) * recordBytes),
            (indices[i] as number) * recordBytes,
          );
        }
        fdatasyncSync(data);
        for (let i = 0; i < indices.length; i++) {
          const index = indices[i] as number;
          writeWhole(marks, Uint8Array.of(1), index);
          present[index] = 1;
        }
      });
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

/** A disk that fills up takes a part of what it is given before it refuses the rest. */
function writeWhole(descriptor: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(descriptor, bytes, done, bytes.length - done, position + done);
  }
}

/** Bytes that a store takes on disk; what is not written yet takes none. */
function countDiskBytes(path: string): number {
  return readdirSync(path).reduce((sum, name) => sum + statSync(join(path, name)).blocks * 512, 0);
}

/**
 * Makes room in a folder of stores: deletes those that were used longest ago until the rest and `needed` bytes fit the
 * limit. What is no folder is left alone.
 *
 * @param keep names of stores that are never deleted, and marked as used now; `needed` is what they will take together.
 */
export function evictFeatures(folder: string, keep: ReadonlySet<string>, needed: number, limit: number): void {
  if (!existsSync(folder)) return;
  runOnDisk(folder, () => {
    const stores = readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !keep.has(entry.name))
      .map(({ name }) => ({ path: join(folder, name), used: statSync(join(folder, name)).mtimeMs }))
      .sort((a, b) => b.used - a.used);
    let total = needed;
    for (const { path } of stores) {
      total += countDiskBytes(path);
      if (total > limit) rmSync(path, { recursive: true, force: true });
    }
    for (const own of keep) {
      const path = join(folder, own);
      if (existsSync(path)) utimesSync(path, new Date(), new Date());
    }
  });
}
