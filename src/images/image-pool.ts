import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { ImageDecoder } from '../data/decode.js';
import type { ImageOrigin, ImageSource } from '../data/image-items.js';
import {
  buildImageRequests,
  createDirectLoader,
  type ImageLoader,
  type ImageTransform,
  type LoadedImages,
} from '../data/image-loader.js';
import { ShiboriError, UsageError } from '../errors.js';
import { unpackError } from '../io/packed-error.js';
import { getDecoder } from './image-origin.js';
import type { BatchAnswer, BatchRequest, ImageWorkerData } from './image-worker.js';

/*
 * The compiled program of the threads, next to this compiled file: so in dist/ and in the installed package. Next to the
 * TypeScript sources (run by a test runner) and in a bundle there is none; images are then loaded on the caller's
 * thread, with the same result.
 */
const ENTRY = new URL('./image-worker.js', import.meta.url);

/** Fewer images are loaded before a thread has started (0.1 s, at 2,800 small JPEG files a second). */
const FEWEST_POOLED_IMAGES = 256;
/** Batches that may be ready while each thread makes one. More would only take memory: 150 MB for 256 images of 224². */
const BATCHES_READY = 1;
/** More threads than this were never needed to feed an engine on one machine's processor. */
const MOST_WORKERS = 4;

/** Counts the threads that load images by default: 1 on up to two cores, then one less than cores, at most 4. */
export function countDefaultWorkers(cores: number = availableParallelism()): number {
  return cores <= 2 ? 1 : Math.min(MOST_WORKERS, cores - 1);
}

interface PendingBatch {
  resolve(loaded: LoadedImages): void;
  reject(error: Error): void;
}

/** One thread and the batches it was sent. */
class ImageThread {
  readonly pending = new Map<number, PendingBatch>();
  readonly #worker: Worker;

  constructor(entry: URL, workerData: ImageWorkerData, onEnd: (reason: string) => void) {
    // Not the process's own flags: some, such as the type of the input, keep a thread from starting, and it needs none.
    this.#worker = new Worker(entry, { workerData, name: 'shibori images', execArgv: [] });
    this.#worker.on('message', (answer: BatchAnswer) => {
      const waiting = this.pending.get(answer.id);
      this.pending.delete(answer.id);
      if (this.pending.size === 0) this.#worker.unref();
      if ('error' in answer) waiting?.reject(unpackError(answer.error));
      else waiting?.resolve(answer.loaded);
    });
    this.#worker.on('messageerror', (error) => onEnd(error.message));
    this.#worker.on('error', (error) => onEnd(error.message));
    this.#worker.on('exit', (code) => onEnd(`it ended with exit code ${code}`));
    // A thread that waits for work keeps no process alive. After the listeners: one for messages would take it back.
    this.#worker.unref();
  }

  send(request: BatchRequest, waiting: PendingBatch): void {
    if (this.pending.size === 0) this.#worker.ref();
    this.pending.set(request.id, waiting);
    this.#worker.postMessage(request);
  }

  /** Ends the thread; what was still waited for fails. */
  async end(error: Error): Promise<void> {
    for (const { reject } of this.pending.values()) reject(error);
    this.pending.clear();
    await this.#worker.terminate();
  }
}

/**
 * Loads the images of a source in threads of their own, which open its origin once more. They start with the first
 * batch that is asked for. Batches come back in any order, each as one array that changes hands without a copy.
 *
 * A thread that dies (out of memory, say) is an error of every batch that is not there yet, and of all later ones.
 *
 * @param workers threads, 1 or more.
 * @param entry the threads' compiled program. Default: the one next to this file.
 */
export function openPooledLoader(
  source: ImageSource,
  origin: ImageOrigin,
  recipe: ImageTransform,
  workers: number,
  entry: URL = ENTRY,
): ImageLoader {
  let threads: readonly ImageThread[] = [];
  let ended: Error | undefined;
  let sent = 0;

  async function end(error: Error): Promise<void> {
    // What ends first is the reason of what follows.
    if (ended) return;
    ended = error;
    await Promise.all(threads.map((thread) => thread.end(error)));
  }

  function start(): readonly ImageThread[] {
    const onEnd = (reason: string) =>
      void end(
        new ShiboriError(
          `Loading images of "${source.name}": a worker thread broke down: ${reason}. ` +
            'Try fewer workers, or 0 (`workers: 0`), which loads them on the main thread.',
          { code: 'invalid-data' },
        ),
      );
    return Array.from({ length: workers }, () => new ImageThread(entry, { origin, recipe }, onEnd));
  }

  return {
    async load(indices, view) {
      const images = buildImageRequests(source, indices);
      if (ended) throw ended;
      if (threads.length === 0) threads = start();
      // Sent at once, also to a busy thread: while an engine computes, this thread could not hand on the next batch.
      const least = threads.reduce((a, b) => (b.pending.size < a.pending.size ? b : a));
      return new Promise((resolve, reject) => least.send({ id: sent++, images, view }, { resolve, reject }));
    },
    batchesAhead: workers + BATCHES_READY,
    workers,
    close: () =>
      end(
        new ShiboriError(`The images of "${source.name}" are no longer loaded: their loader was closed.`, {
          code: 'invalid-data',
        }),
      ),
  };
}

/**
 * What loads a data set's images: threads of their own where they pay and can open the images again, otherwise the
 * caller's thread. The pixels are the same to the bit.
 *
 * @param workers threads; 0 is the caller's. Default: by the machine's cores, and 0 for fewer than 256 images.
 * @throws UsageError for a number of threads that is none.
 */
export function openImageLoader(
  { source, decode }: { readonly source: ImageSource; readonly decode: ImageDecoder },
  recipe: ImageTransform,
  workers: number = source.items.length < FEWEST_POOLED_IMAGES ? 0 : countDefaultWorkers(),
): ImageLoader {
  if (!(Number.isInteger(workers) && workers >= 0)) {
    throw new UsageError(`The number of workers that load images must be 0 or more, found ${workers}.`);
  }
  const { origin } = source;
  // Another decoder than the origin's own is a function, and stays on its thread.
  const canShare = origin !== undefined && decode === getDecoder(origin) && existsSync(ENTRY);
  return workers > 0 && canShare
    ? openPooledLoader(source, origin, recipe, workers)
    : createDirectLoader(source, decode, recipe);
}
