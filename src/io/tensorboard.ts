import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { ShiboriError } from '../errors.js';
import { encodeRestartRecord, encodeScalarsRecord, encodeVersionRecord } from '../formats/tensorboard/events.js';
import { describeWriteError, getErrorCode } from './disk-error.js';

/** A TensorBoard event file that is open for appending. */
export interface EventFile {
  readonly path: string;
  /** Appends scalars by tag (`loss/train`) at a step; on disk when the promise resolves. */
  addScalars(step: number, scalars: Readonly<Record<string, number>>): Promise<void>;
  close(): Promise<void>;
}

/** Opens a file that did not exist: TensorBoard reads all event files of a folder, so a resumed run adds another. */
async function createUniqueFile(folder: string, seconds: number): Promise<{ path: string; handle: FileHandle }> {
  for (let suffix = 0; ; suffix++) {
    // The name TensorBoard's own writers use; it shows a folder only when a name in it contains `tfevents`.
    const path = join(folder, `events.out.tfevents.${seconds}.${hostname()}.${process.pid}.${suffix}`);
    try {
      return { path, handle: await open(path, 'wx') };
    } catch (error) {
      if (getErrorCode(error) !== 'EEXIST') throw error;
    }
  }
}

/**
 * Starts an event file in `folder` (made when missing), which TensorBoard shows while it grows.
 *
 * @param options.now The clock, in milliseconds since 1970; default `Date.now`.
 * @param options.purgeFrom TensorBoard forgets what earlier files of the folder hold from this step on. Default: nothing.
 * @throws ShiboriError when it cannot be written.
 */
export async function createEventFile(
  folder: string,
  options: { readonly now?: () => number; readonly purgeFrom?: number } = {},
): Promise<EventFile> {
  const now = options.now ?? Date.now;
  const wallTime = () => now() / 1000;
  const guarded = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      const reason = await describeWriteError(error, folder, 'more bytes');
      throw new ShiboriError(`Writing TensorBoard events in ${folder}: ${reason}.`, {
        code: 'write-failed',
        file: folder,
        cause: error,
      });
    }
  };
  await guarded(mkdir(folder, { recursive: true }));
  const { path, handle } = await guarded(createUniqueFile(folder, Math.floor(wallTime())));
  await guarded(handle.writeFile(encodeVersionRecord(wallTime())));
  if (options.purgeFrom !== undefined)
    await guarded(handle.writeFile(encodeRestartRecord(wallTime(), options.purgeFrom)));
  return {
    path,
    addScalars: (step, scalars) => guarded(handle.writeFile(encodeScalarsRecord(wallTime(), step, scalars))),
    close: () => handle.close(),
  };
}
