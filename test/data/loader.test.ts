import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type BadImage, type Batch, type BatchOptions, loadBatches } from '../../src/data/batches.js';
import type { ImageDecoder } from '../../src/data/decode.js';
import type { ImageSource } from '../../src/data/image-items.js';
import { createDirectLoader, type ImageLoader } from '../../src/data/image-loader.js';
import { type Preprocess, toTensor } from '../../src/data/preprocess.js';
import { ShiboriError } from '../../src/errors.js';
import { decodeImage } from '../../src/images/decode-image.js';
import { noise } from './noise.js';

/** Images that are noise of the seed that is their index; `bad` ones cannot be decoded. */
function sourceOf(count: number): ImageSource {
  return {
    name: 'noise',
    items: Array.from({ length: count }, (_, i) => ({ path: `${i}.jpg`, label: i * 10 })),
    classes: [],
    read: async (index) => Uint8Array.of(index),
  };
}

const preprocess = { size: [4, 5], resize: 'none', mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] } as const;

/** Options of a test, with what its loader is made of. */
interface Options extends BatchOptions {
  readonly preprocess: Preprocess;
  readonly decode: ImageDecoder;
}

function optionsOf(bad: number[] = [], found: BadImage[] = []): Options {
  return {
    batchSize: 3,
    preprocess,
    async decode([index = 0], file) {
      if (bad.includes(index)) throw new ShiboriError(`${file} is broken`, { code: 'invalid-file' });
      return noise(5, 4, index);
    },
    onBad: (image) => found.push(image),
  };
}

/** Batches that are loaded on this thread. */
function batchesOf(source: ImageSource, options: Options): AsyncGenerator<Batch, void, undefined> {
  const { preprocess, decode } = options;
  return loadBatches(
    source,
    createDirectLoader(source, decode, { preprocess, augmentation: undefined, seed: 0 }),
    options,
  );
}

async function collect<T>(all: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of all) list.push(item);
  return list;
}

describe('batches', () => {
  it('gives every image once, in order, with its label', async () => {
    const found = await collect(batchesOf(sourceOf(7), optionsOf()));
    expect(found.map(({ indices }) => indices)).toEqual([[0, 1, 2], [3, 4, 5], [6]]);
    expect(found.map(({ labels }) => [...labels])).toEqual([[0, 10, 20], [30, 40, 50], [60]]);
    const [first] = found;
    expect(first?.images).toEqual(toTensor([noise(5, 4, 0), noise(5, 4, 1), noise(5, 4, 2)], preprocess));
  });

  it('takes the indices asked for, in their order', async () => {
    const [batch] = await collect(batchesOf(sourceOf(7), { ...optionsOf(), indices: Uint32Array.of(5, 2, 5) }));
    expect(batch?.indices).toEqual([5, 2, 5]);
    expect(batch?.images).toEqual(toTensor([noise(5, 4, 5), noise(5, 4, 2), noise(5, 4, 5)], preprocess));
  });

  it('leaves bad images out, names them in order, and goes on', async () => {
    const bad: BadImage[] = [];
    const found = await collect(batchesOf(sourceOf(9), optionsOf([1, 3, 4, 5, 8], bad)));
    expect(found.map(({ indices }) => indices)).toEqual([
      [0, 2],
      [6, 7],
    ]);
    expect(found[0]?.images.dims).toEqual([2, 3, 4, 5]);
    expect(bad.map(({ path }) => path)).toEqual(['1.jpg', '3.jpg', '4.jpg', '5.jpg', '8.jpg']);
    expect(bad[0]?.reason).toBe('1.jpg is broken');
  });

  it('leaves a corrupt JPEG among good ones out', async () => {
    const good = readFileSync(new URL('../golden/data/files/baseline.jpg', import.meta.url));
    const files = [good, good.subarray(0, 500), good, new Uint8Array(), good];
    const bad: BadImage[] = [];
    const source = { ...sourceOf(5), read: async (index: number) => new Uint8Array(files[index] ?? []) };
    const options = {
      ...optionsOf([], bad),
      decode: decodeImage,
      preprocess: { ...preprocess, resize: 'stretch' as const },
    };
    const found = await collect(batchesOf(source, options));
    expect(found.flatMap(({ indices }) => indices)).toEqual([0, 2, 4]);
    expect(bad.map(({ path }) => path)).toEqual(['1.jpg', '3.jpg']);
    expect(bad[0]?.reason).toMatch(/truncated/);
  });

  it('fails when nothing is usable, with the first reason', async () => {
    await expect(collect(batchesOf(sourceOf(2), optionsOf([0, 1])))).rejects.toThrow(
      /None of the 2 images.*0.jpg is broken/,
    );
    await expect(collect(batchesOf(sourceOf(0), optionsOf()))).rejects.toThrow(/no images to load/);
    const larger = { ...optionsOf(), preprocess: { ...preprocess, size: [9, 9] as const } };
    await expect(collect(batchesOf(sourceOf(2), larger))).rejects.toThrow(/resizing is off/);
  });

  it('does not take a mistake of the program for a bad image', async () => {
    const options: Options = {
      ...optionsOf(),
      async decode() {
        throw new TypeError('oops');
      },
    };
    await expect(collect(batchesOf(sourceOf(2), options))).rejects.toThrow(TypeError);
  });

  it('prepares the next batch while the caller has this one, and no more', async () => {
    const read: number[] = [];
    const source = sourceOf(12);
    const watched: ImageSource = {
      ...source,
      read(index) {
        read.push(index);
        return source.read(index);
      },
    };
    const all = batchesOf(watched, optionsOf());
    await all.next();
    expect(read).toEqual([0, 1, 2, 3, 4, 5]);
    await all.return();
    expect(read).toHaveLength(6);
  });

  it('is not disturbed by a failure ahead of a caller who stops', async () => {
    const options = optionsOf();
    const all = batchesOf(sourceOf(6), {
      ...options,
      async decode(bytes, file) {
        if ((bytes[0] ?? 0) >= 3) throw new TypeError('ahead');
        return options.decode(bytes, file);
      },
    });
    expect((await all.next()).done).toBe(false);
    await all.return();
  });

  it('keeps as many batches in the making as the loader takes, in order whatever comes first, and says how long it waited', async () => {
    const source = sourceOf(15);
    const { preprocess, decode, ...options } = optionsOf();
    const direct = createDirectLoader(source, decode, { preprocess, augmentation: undefined, seed: 0 });
    const asked: number[] = [];
    const loader: ImageLoader = {
      ...direct,
      batchesAhead: 3,
      async load(indices, view) {
        asked.push(indices[0] ?? -1);
        // The first to be asked for is the last to come.
        await new Promise((resolve) => setTimeout(resolve, 12 - (indices[0] ?? 0)));
        return direct.load(indices, view);
      },
    };
    const waits: number[] = [];
    const all = loadBatches(source, loader, { ...options, onWait: (seconds) => waits.push(seconds) });
    expect((await all.next()).value?.indices).toEqual([0, 1, 2]);
    expect(asked).toEqual([0, 3, 6, 9]);
    const rest = await collect(all);
    expect(rest.map(({ indices }) => indices[0])).toEqual([3, 6, 9, 12]);
    expect(asked).toEqual([0, 3, 6, 9, 12]);
    expect(waits).toHaveLength(5);
    for (const wait of waits) expect(wait).toBeGreaterThanOrEqual(0);
  });

  it('refuses a batch size and indices that mean nothing', async () => {
    await expect(batchesOf(sourceOf(2), { ...optionsOf(), batchSize: 0 }).next()).rejects.toThrow(/batch size/);
    await expect(batchesOf(sourceOf(2), { ...optionsOf(), indices: [2] }).next()).rejects.toThrow(/no image 2/);
  });
});
