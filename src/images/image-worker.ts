/*
 * The program of a thread that loads images: it opens their origin, loads the batches it is sent one after another and
 * sends their pixels back without a copy. Started by image-pool.ts.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { ImageOrigin } from '../data/image-items.js';
import { type ImageRequest, type ImageTransform, type LoadedImages, loadImages } from '../data/image-loader.js';
import { type PackedError, packError } from '../io/packed-error.js';
import { getDecoder, openOrigin } from './image-origin.js';

/** What a thread is started with. */
export interface ImageWorkerData {
  readonly origin: ImageOrigin;
  readonly recipe: ImageTransform;
}

/** A batch that is asked for. */
export interface BatchRequest {
  readonly id: number;
  readonly images: readonly ImageRequest[];
  readonly view: number;
}

/** What comes back for it. */
export type BatchAnswer = { readonly id: number } & (
  | { readonly loaded: LoadedImages }
  | { readonly error: PackedError }
);

const { origin, recipe }: ImageWorkerData = workerData;
const decodeBytes = getDecoder(origin);
const opening = openOrigin(origin);
// The failure is reported with each batch.
opening.catch(() => {});

async function answerRequest({ id, images, view }: BatchRequest): Promise<void> {
  const send = (message: BatchAnswer, transfer: readonly ArrayBuffer[] = []) =>
    parentPort?.postMessage(message, transfer);
  try {
    const read = await opening;
    const loaded = await loadImages(images, view, async (image) => decodeBytes(await read(image), image.path), recipe);
    const { buffer } = loaded.images.data;
    send({ id, loaded }, buffer instanceof ArrayBuffer ? [buffer] : []);
  } catch (error) {
    send({ id, error: packError(error) });
  }
}

// One after another: the batch that is needed first is ready first, and only one is in the making.
let queue: Promise<void> = Promise.resolve();
parentPort?.on('message', (request: BatchRequest) => {
  queue = queue.then(() => answerRequest(request));
});
