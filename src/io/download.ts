import { mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { ShiboriError } from '../errors.js';
import { defined } from '../values.js';
import { describeWriteError, findFreeBytes, formatBytes } from './disk-error.js';
import { digestFile } from './file-hash.js';

/** A checksum that a file must have, in lower-case hexadecimal. */
export interface Digest {
  readonly algorithm: 'md5' | 'sha256';
  readonly hex: string;
}

/** What to download, and where to. */
export interface DownloadOptions {
  readonly url: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
  /** The file; while it is incomplete it is called `<destination>.part`, with a note next to it for resuming. */
  readonly destination: string;
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
  /** Stops the download; what has come stays for the next time. */
  readonly signal?: AbortSignal;
  /** Default: the global `fetch`. */
  readonly fetch?: typeof globalThis.fetch;
  /** Attempts without a byte of progress before it gives up. Default: 5. */
  readonly attempts?: number;
  /** Pause before the second attempt, doubled before each further one. Default: 1,000 ms. */
  readonly retryDelayMs?: number;
}

/** A failure that another attempt may not meet: a broken connection, an overloaded server. */
class RetryableError extends Error {}

/** Describes a partial file: the server's identifier of the version that it is a part of. */
const noteSchema = z.object({ url: z.string(), validator: z.string() });

/** Whether a file has a digest. */
export async function fileHasDigest(path: string, digest: Digest): Promise<boolean> {
  return (await digestFile(path, digest.algorithm)).digest === digest.hex;
}

class Transfer {
  readonly #part: string;
  readonly #note: string;

  constructor(readonly options: DownloadOptions) {
    this.#part = `${options.destination}.part`;
    this.#note = `${options.destination}.part.json`;
  }

  #fail(problem: string, cause?: unknown): ShiboriError {
    return new ShiboriError(`Downloading ${this.options.url}: ${problem}`, { code: 'download-failed', cause });
  }

  /** Bytes of the file that are already on disk. */
  async countBytesOnDisk(): Promise<number> {
    const found = await stat(this.#part).catch(() => undefined);
    return found?.size ?? 0;
  }

  async discard(): Promise<void> {
    await rm(this.#part, { force: true });
    await rm(this.#note, { force: true });
  }

  /** The version that the partial file belongs to, or `undefined` when that is unknown and it must not be continued. */
  async #validator(): Promise<string | undefined> {
    try {
      const note = noteSchema.parse(JSON.parse(await readFile(this.#note, 'utf8')));
      return note.url === this.options.url ? note.validator : undefined;
    } catch {
      return undefined;
    }
  }

  async prepare(): Promise<void> {
    const { destination, sizeBytes } = this.options;
    const folder = dirname(destination);
    try {
      await mkdir(folder, { recursive: true });
    } catch (error) {
      throw this.#fail(`${folder} cannot be made: ${await describeWriteError(error, folder, '')}.`, error);
    }
    const missing = sizeBytes - (await this.countBytesOnDisk());
    const free = await findFreeBytes(folder);
    if (free !== undefined && free < missing) {
      throw this.#fail(
        `the disk of ${folder} is too full (${formatBytes(missing)} needed, ${formatBytes(free)} free). ` +
          'Make room, or choose another destination.',
      );
    }
  }

  /** Fetches what is missing. Throws an Interruption when another try may succeed. */
  async attempt(): Promise<void> {
    const { url, sizeBytes, signal } = this.options;
    const validator = await this.#validator();
    let offset = validator === undefined ? 0 : await this.countBytesOnDisk();
    if (offset === sizeBytes) return;
    if (offset > sizeBytes) offset = 0;
    // `identity`: a compressed answer would make byte ranges and sizes mean something else.
    const headers = new Headers({ 'accept-encoding': 'identity' });
    if (offset > 0 && validator !== undefined) {
      headers.set('range', `bytes=${offset}-`);
      headers.set('if-range', validator);
    }
    const response = await this.#request(url, { headers, ...defined({ signal }) });
    if (response.status === 206) this.#checkRange(response, offset);
    else await this.#startOver(response);
    await this.#store(response, response.status === 206 ? offset : 0);
  }

  async #request(url: string, init: RequestInit): Promise<Response> {
    const fetch = this.options.fetch ?? globalThis.fetch;
    let response: Response;
    try {
      response = await fetch(url, init);
    } catch (error) {
      this.options.signal?.throwIfAborted();
      throw toRetryableError(error);
    }
    if (response.status === 200 || response.status === 206) return response;
    await response.body?.cancel();
    const { status } = response;
    if (status === 416) await this.discard();
    if (status === 416 || status === 429 || status >= 500) throw new RetryableError(`the server answered ${status}`);
    throw this.#fail(`the server answered ${`${status} ${response.statusText}`.trim()}.`);
  }

  #checkRange(response: Response, offset: number): void {
    const [, first, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get('content-range') ?? '') ?? [];
    if (Number(first) === offset && (total === '*' || Number(total) === this.options.sizeBytes)) return;
    throw this.#fail(
      `asked for the bytes from ${offset} of ${this.options.sizeBytes}, the server sent ` +
        `"${response.headers.get('content-range')}".`,
    );
  }

  /** Before the first byte of a whole file: is it the file that is expected, and what is this version called? */
  async #startOver(response: Response): Promise<void> {
    const { url, sizeBytes } = this.options;
    const length = response.headers.get('content-length');
    if (length !== null && Number(length) !== sizeBytes) {
      await response.body?.cancel();
      throw this.#fail(
        `the server offers ${formatBytes(Number(length))}, expected ${formatBytes(sizeBytes)}. It is not the file that is meant.`,
      );
    }
    await this.discard();
    const tag = response.headers.get('etag');
    // RFC 9110, 13.1.5: If-Range takes a strong tag or a date, never a weak tag.
    const validator = tag !== null && !tag.startsWith('W/') ? tag : response.headers.get('last-modified');
    if (validator !== null) await this.#saving(writeFile(this.#note, JSON.stringify({ url, validator })));
  }

  /** Disk errors in words; another attempt would meet them again. */
  async #saving<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      const folder = dirname(this.#part);
      const reason = await describeWriteError(error, folder, formatBytes(this.options.sizeBytes));
      throw this.#fail(
        `writing ${this.#part}: ${reason}. The part downloaded so far is kept: run it again to resume.`,
        error,
      );
    }
  }

  async #store(response: Response, offset: number): Promise<void> {
    const { sizeBytes, onProgress, signal } = this.options;
    const file = await this.#saving(open(this.#part, offset > 0 ? 'a' : 'w'));
    let done = offset;
    try {
      for await (const chunk of streamBody(response)) {
        if (done + chunk.length > sizeBytes) {
          await this.discard();
          throw this.#fail(`the server sends more than the ${formatBytes(sizeBytes)} expected. Nothing was kept.`);
        }
        await this.#saving(file.writeFile(chunk));
        done += chunk.length;
        onProgress?.(done, sizeBytes);
      }
      await this.#saving(file.sync());
    } catch (error) {
      signal?.throwIfAborted();
      throw error instanceof ShiboriError ? error : toRetryableError(error);
    } finally {
      await file.close();
    }
    if (done < sizeBytes) throw new RetryableError('the server closed the connection early');
  }

  async finish(): Promise<void> {
    const { digest, destination } = this.options;
    const found = (await digestFile(this.#part, digest.algorithm)).digest;
    if (found !== digest.hex) {
      await this.discard();
      throw this.#fail(
        `the ${digest.algorithm} checksum is ${found}, expected ${digest.hex}. The download was removed. ` +
          'Try again; if it stays so, the file on the server is another one.',
      );
    }
    await this.#saving(rename(this.#part, destination));
    await rm(this.#note, { force: true });
  }
}

async function* streamBody(response: Response): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  if (!reader) return;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

function toRetryableError(error: unknown): RetryableError {
  if (error instanceof RetryableError) return error;
  // Node's fetch says "fetch failed" and hides the reason in the cause.
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return new RetryableError(cause instanceof Error ? cause.message : String(cause), { cause: error });
}

/**
 * Downloads a file: resumes where an earlier download of the same version stopped (HTTP ranges), tries again when the
 * connection breaks, and checks the whole file's digest before it gets its name. A file of that name never is a half one.
 *
 * @throws ShiboriError when the server refuses, breaks off for good or sends another file, and when the disk is full;
 * the signal's reason when it is aborted.
 */
export async function download(options: DownloadOptions): Promise<void> {
  const { attempts = 5, retryDelayMs = 1000, url, sizeBytes, signal } = options;
  const transfer = new Transfer(options);
  await transfer.prepare();
  let most = await transfer.countBytesOnDisk();
  let failures = 0;
  for (;;) {
    try {
      signal?.throwIfAborted();
      await transfer.attempt();
      break;
    } catch (error) {
      if (!(error instanceof RetryableError)) throw error;
      const here = await transfer.countBytesOnDisk();
      failures = here > most ? 1 : failures + 1;
      most = Math.max(most, here);
      if (failures >= attempts) {
        throw new ShiboriError(
          `Downloading ${url}: ${error.message} (${formatBytes(here)} of ${formatBytes(sizeBytes)} have come). ` +
            'The part downloaded so far is kept: run it again to resume.',
          { code: 'download-failed', cause: error },
        );
      }
      await pause(retryDelayMs * 2 ** (failures - 1), undefined, signal ? { signal } : {});
    }
  }
  await transfer.finish();
}
