import { ShiboriError } from '../errors.js';

/**
 * Where the frozen prefix's outputs are kept: one record of `elements` float32 numbers for each image of each view. A
 * view is one random variant of the data set; without augmentation there is one, view 0.
 */
export interface FeatureStore {
  /** Whether this record is there, whole. */
  has(view: number, index: number): boolean;
  /** Copies records one after another into `target`. What a record holds that is not there is not defined. */
  read(view: number, indices: ArrayLike<number>, target: Float32Array): void;
  /** Stores records that follow one another in `features`. */
  write(view: number, indices: ArrayLike<number>, features: Float32Array): void;
  /** Gives memory and files back. */
  close(): void;
}

function allocateView(count: number, elements: number): Float32Array {
  try {
    return new Float32Array(count * elements);
  } catch {
    const gigabytes = ((count * elements * 4) / 1e9).toFixed(1);
    throw new ShiboriError(
      `The frozen part's outputs of ${count} images take ${gigabytes} GB a view, which this machine's memory does not hold. Train fewer layers, or on fewer images.`,
      { code: 'training-failed' },
    );
  }
}

/** A store in memory. Throws ShiboriError when a view does not fit into it. */
export function createMemoryStore(count: number, elements: number): FeatureStore {
  const views = new Map<number, { data: Float32Array; present: Uint8Array }>();
  const getOrAllocateView = (view: number) => {
    let found = views.get(view);
    if (!found) {
      found = { data: allocateView(count, elements), present: new Uint8Array(count) };
      views.set(view, found);
    }
    return found;
  };
  return {
    has: (view, index) => views.get(view)?.present[index] === 1,
    read(view, indices, target) {
      const { data } = getOrAllocateView(view);
      for (let i = 0; i < indices.length; i++) {
        const at = (indices[i] as number) * elements;
        target.set(data.subarray(at, at + elements), i * elements);
      }
    },
    write(view, indices, features) {
      const { data, present } = getOrAllocateView(view);
      for (let i = 0; i < indices.length; i++) {
        const index = indices[i] as number;
        data.set(features.subarray(i * elements, (i + 1) * elements), index * elements);
        present[index] = 1;
      }
    },
    close: () => views.clear(),
  };
}
