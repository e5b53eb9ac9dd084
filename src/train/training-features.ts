import { prefetch } from '../data/prefetch.js';
import type { Engine, Session } from '../engine/engine.js';
import { ShiboriError } from '../errors.js';
import type { Graph } from '../graph/model.js';
import { range } from '../tensor/dims.js';
import { expectFloat32, type Tensor, tensor } from '../tensor/tensor.js';
import { createEventLoopPause } from './event-loop-pause.js';
import type { FeatureStore } from './features-in-memory.js';
import type { TrainingData } from './training-data.js';

/** Images put through the frozen prefix at a time. */
const PREFIX_BATCH = 64;

/** How much of a job went by waiting for images. */
export interface ImageWait {
  /** Seconds. */
  readonly waitedSeconds: number;
  /** Share of the job's time, 0…1. */
  readonly waitingShare: number;
}

/** What the trained suffix is fed: images themselves, or the cached outputs of the frozen prefix. */
export interface Features {
  readonly data: TrainingData;
  /** Whether they are the images themselves. */
  readonly isImages: boolean;
  /** How many batches it pays to ask for before they are needed. */
  readonly ahead: number;
  /** The view of the data that epoch `epoch` trains on. */
  getView(epoch: number): number;
  /**
   * Computes what is missing of a view.
   *
   * @param onProgress receives how many images are done, and how long and in which share of the time images were waited for.
   * @returns false when the signal ended it; what was computed by then is kept.
   */
  fill(view: number, onProgress: (done: number, wait: ImageWait) => void, signal?: AbortSignal): Promise<boolean>;
  /** The inputs of a batch, `[n, …]`. */
  batch(indices: readonly number[], view: number): Promise<Tensor<'float32'>>;
  dispose(): Promise<void>;
}

/** Returns the images themselves, loaded again for each batch: every epoch has a view of its own. */
export function createImageFeatures(data: TrainingData): Features {
  return {
    data,
    isImages: true,
    ahead: data.ahead ?? 1,
    getView: (epoch) => epoch,
    fill: async () => true,
    batch: (indices, view) => data.images(indices, view),
    dispose: async () => {},
  };
}

/**
 * The frozen prefix's outputs, computed once for each image and view. Disposing closes the store.
 *
 * @param views how many views there are; epochs take them in turn.
 */
export function createCachedFeatures(
  engine: Engine,
  data: TrainingData,
  prefix: Graph,
  store: FeatureStore,
  views: number,
): Features {
  const [input, output] = [prefix.inputs[0], prefix.outputs[0]];
  const dims = output?.type?.dims.slice(1).map(Number) ?? [];
  const elements = dims.reduce((product, dim) => product * dim, 1);
  let session: Session | undefined;

  // Chunks are the same whatever is missing of them: a runtime may round a batch of another size differently, and an
  // interrupted training could not be resumed to the same bits.
  const chunks = range(Math.ceil(data.count / PREFIX_BATCH)).map((i) =>
    range(Math.min(PREFIX_BATCH, data.count - i * PREFIX_BATCH)).map((k) => i * PREFIX_BATCH + k),
  );

  async function compute(images: Tensor<'float32'>, count: number): Promise<Float32Array> {
    session ??= await engine.load(prefix);
    const results = await session.run({ [input?.name ?? '']: images });
    const { data: features } = expectFloat32(results[output?.name ?? ''], "The frozen prefix's output");
    if (features.length === count * elements) return features;
    throw new ShiboriError(
      `The frozen prefix gave ${features.length} numbers for ${count} images, expected ${elements} each.`,
      { code: 'training-failed' },
    );
  }

  /** The records of images that could be read. */
  function dropUnreadable(chunk: readonly number[], features: Float32Array): [number[], Float32Array] {
    const rows = range(chunk.length).filter((row) => data.labels[chunk[row] ?? 0] !== -1);
    if (rows.length === chunk.length) return [[...chunk], features];
    const kept = new Float32Array(rows.length * elements);
    for (const [to, row] of rows.entries())
      kept.set(features.subarray(row * elements, (row + 1) * elements), to * elements);
    return [rows.map((row) => chunk[row] ?? 0), kept];
  }

  return {
    data,
    isImages: false,
    ahead: 1,
    getView: (epoch) => epoch % views,
    async fill(view, onProgress, signal) {
      // An image without a label cannot be read: it never gets a record.
      const isMissing = (index: number) => data.labels[index] !== -1 && !store.has(view, index);
      const missing = chunks.filter((chunk) => chunk.some(isMissing));
      let done = data.count - missing.reduce((sum, chunk) => sum + chunk.length, 0);
      const next = prefetch(missing, (chunk) => data.images(chunk, view), data.ahead ?? 1);
      const pause = createEventLoopPause();
      const started = performance.now();
      let waited = 0;
      for (const chunk of missing) {
        if (signal?.aborted) return false;
        const asked = performance.now();
        const images = await next();
        waited += performance.now() - asked;
        if (!images) break;
        const features = await compute(images, chunk.length);
        store.write(view, ...dropUnreadable(chunk, features));
        done += chunk.length;
        onProgress(done, { waitedSeconds: waited / 1000, waitingShare: waited / (performance.now() - started) });
        await pause();
      }
      return true;
    },
    async batch(indices, view) {
      const target = new Float32Array(indices.length * elements);
      store.read(view, indices, target);
      for (const [row, index] of indices.entries()) {
        if (data.labels[index] === -1) target.fill(0, row * elements, (row + 1) * elements);
      }
      return tensor('float32', [indices.length, ...dims], target);
    },
    async dispose() {
      await session?.dispose();
      store.close();
    },
  };
}
