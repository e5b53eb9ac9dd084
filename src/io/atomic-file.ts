import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { type FileHandle, mkdir, open, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ShiboriError } from '../errors.js';
import { describeWriteError, formatBytes, getErrorCode } from './disk-error.js';

/** What a file is to hold: text (written as UTF-8), bytes, or bytes in chunks that never exist all at once. */
export type FileContent = string | Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/** Resolves symbolic links, which are kept, to the real path; `undefined` when nothing is there yet. */
async function findExistingFile(path: string): Promise<string | undefined> {
  try {
    // Renaming onto a device would replace it by a file: `-o /dev/null` as root must not.
    if (!(await stat(path)).isFile()) {
      throw new ShiboriError(`Saving ${path}: it exists and is not a file. Choose another path.`, {
        code: 'write-failed',
        file: path,
      });
    }
    return await realpath(path);
  } catch (error) {
    if (error instanceof ShiboriError) throw error;
    if (getErrorCode(error) === 'ENOENT') return undefined;
    const reason = await describeWriteError(error, dirname(path), '');
    throw new ShiboriError(`Saving ${path}: ${reason}.`, { code: 'write-failed', file: path, cause: error });
  }
}

async function* splitIntoChunks(content: FileContent): AsyncGenerator<Uint8Array> {
  if (typeof content === 'string') yield new TextEncoder().encode(content);
  else if (content instanceof Uint8Array) yield content;
  else yield* content;
}

function findContentSize(content: FileContent): number | undefined {
  if (typeof content === 'string') return new TextEncoder().encode(content).length;
  if (content instanceof Uint8Array) return content.length;
  return Array.isArray(content) ? content.reduce((sum, chunk) => sum + chunk.length, 0) : undefined;
}

/** Makes a rename survive a power cut; not every system lets a folder be opened for that. */
async function syncFolder(folder: string): Promise<void> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(folder, 'r');
    await handle.sync();
  } catch {
    // The file itself is safe; only its rename may be lost in a power failure.
  } finally {
    await handle?.close();
  }
}

/**
 * Makes a folder and those above it, where they are missing.
 *
 * @throws ShiboriError when it cannot be made (a file of that name, permission denied, …), naming the path.
 */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (error) {
    const reason = await describeWriteError(error, dirname(path), 'more bytes');
    throw new ShiboriError(`Making the folder ${path}: ${reason}. Choose another path.`, {
      code: 'write-failed',
      file: path,
      cause: error,
    });
  }
}

/** Temporary files that are being written. */
const unfinished = new Set<string>();

/** Removes them when the process ends early, as after Ctrl-C. */
function removeUnfinished(): void {
  for (const path of unfinished) rmSync(path, { force: true });
}

/** Notes a temporary file until it is renamed or removed. */
function trackUnfinished(path: string): void {
  if (unfinished.size === 0 && !process.listeners('exit').includes(removeUnfinished)) {
    process.on('exit', removeUnfinished);
  }
  unfinished.add(path);
}

/**
 * Writes a file so that at any time, whatever is interrupted, `path` holds either what it held before or all of
 * `content`: into a temporary file next to it, forced to disk, then renamed. Missing folders are made.
 *
 * @returns The bytes written.
 * @throws ShiboriError when it cannot be written (disk full, permission denied, …), naming the path and the bytes
 * needed; the temporary file is then removed. Errors of a chunk iterator and of `check` are passed on unchanged.
 * @param check looks at the finished temporary file before it takes its place; what it throws stops that.
 */
export async function writeFileAtomic(
  path: string,
  content: FileContent,
  check?: (temporary: string) => Promise<void>,
): Promise<number> {
  const previous = await findExistingFile(path);
  const target = previous ?? path;
  const folder = dirname(target);
  const temporary = join(folder, `.${basename(target)}.${randomBytes(4).toString('hex')}.tmp`);
  let written = 0;
  /** Whether what fails is the caller's own. */
  let producing = false;
  let handle: FileHandle | undefined;
  try {
    await mkdir(folder, { recursive: true });
    trackUnfinished(temporary);
    handle = await open(temporary, 'wx');
    producing = true;
    for await (const chunk of splitIntoChunks(content)) {
      producing = false;
      await handle.writeFile(chunk);
      written += chunk.length;
      producing = true;
    }
    producing = false;
    await handle.sync();
    await handle.close();
    handle = undefined;
    producing = true;
    await check?.(temporary);
    producing = false;
    await rename(temporary, target);
  } catch (error) {
    await handle?.close().catch(() => undefined);
    await rm(temporary, { force: true });
    if (producing) throw error;
    const size = findContentSize(content);
    const needed = size === undefined ? `more than ${formatBytes(written)}` : formatBytes(size);
    throw new ShiboriError(
      `Saving ${path}: ${await describeWriteError(error, folder, needed)}. ` +
        (previous === undefined ? 'No partial file is left.' : 'The file that was there before is untouched.'),
      { code: 'write-failed', file: path, cause: error },
    );
  } finally {
    unfinished.delete(temporary);
  }
  await syncFolder(folder);
  return written;
}
