import type { Engine, Session } from '../engine/engine.js';
import { ShiboriError } from '../errors.js';
import type { Graph } from '../graph/model.js';
import { expectFloat32, float32, type Tensor } from '../tensor/tensor.js';
import type { FeatureStore } from './feature-store.js';
import type { TrainingData } from './training-data.js';

/** Images put through the frozen prefix at a time. */
const PREFIX_BATCH = 64;

/** What the trained suffix is fed: images themselves, or the cached outputs of the frozen prefix. */
export interface Features {
  readonly data: TrainingData;
  /** Name of the suffix's input. */
  inputName(suffix: Graph): string;
  /** Computes what is missing of a view, in this order. */
  fill(view: number, order: ArrayLike<number>, onProgress: (done: number) => void, signal?: AbortSignal): Promise<void>;
  /** The inputs of a batch. */
  batch(indices: readonly number[], view: number): Promise<Tensor<'float32'>>;
  dispose(): Promise<void>;
}

/** Features of a data set; without a prefix they are its images, made anew each time. */
export async function featuresOf(
  engine: Engine,
  data: TrainingData,
  prefix: Graph | undefined,
  store: FeatureStore | undefined,
  elements: number,
): Promise<Features> {
  const inputName = (suffix: Graph) => suffix.inputs[0]?.name ?? '';
  if (!prefix || !store) {
    return {
      data,
      inputName,
      fill: async () => {},
      batch: (indices, view) => data.images(indices, view),
      dispose: async () => {},
    };
  }
  const output = prefix.outputs[0];
  const dims = output?.type?.dims.slice(1).map(Number) ?? [];
  let session: Session | undefined;
  return {
    data,
    inputName,
    async fill(view, order, onProgress, signal) {
      const missing = Array.from(order).filter((index) => !store.has(view, index));
      if (missing.length === 0) return;
      session ??= await engine.load(prefix);
      const chunk = (start: number) => {
        const indices = missing.slice(start, start + PREFIX_BATCH);
        const images = indices.length === 0 ? undefined : data.images(indices, view);
        images?.catch(() => {});
        return { indices, images };
      };
      let next = chunk(0);
      for (let start = 0; start < missing.length; start += PREFIX_BATCH) {
        // What was computed is kept in the store, so stopping here loses nothing.
        signal?.throwIfAborted();
        const { indices, images } = next;
        const batch = await images;
        next = chunk(start + PREFIX_BATCH);
        if (!batch) break;
        const results = await session.run({ [prefix.inputs[0]?.name ?? '']: batch });
        const features = expectFloat32(results[output?.name ?? ''], 'The frozen prefix’s output');
        if (features.data.length !== indices.length * elements) {
          throw new ShiboriError(
            `The frozen prefix gave ${features.data.length} numbers for ${indices.length} images, expected ${elements} each.`,
          );
        }
        store.write(view, indices, features.data);
        onProgress(order.length - missing.length + start + indices.length);
        await new Promise((resolve) => setTimeout(resolve, 0));
      }
    },
    async batch(indices, view) {
      const target = new Float32Array(indices.length * elements);
      store.read(view, indices, target);
      return float32(target, [indices.length, ...dims]);
    },
    dispose: async () => session?.dispose(),
  };
}
