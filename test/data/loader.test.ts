import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { ImageSource } from '../../src/data/dataset.js';
import { type BadImage, type BatchOptions, batches } from '../../src/data/loader.js';
import { toTensor } from '../../src/data/preprocess.js';
import { ShiboriError } from '../../src/errors.js';
import { decodeImage } from '../../src/node/decode-image.js';
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

function optionsOf(bad: number[] = [], found: BadImage[] = []): BatchOptions {
  return {
    batchSize: 3,
    preprocess,
    async decode([index = 0], file) {
      if (bad.includes(index)) throw new ShiboriError(`${file} is broken`);
      return noise(5, 4, index);
    },
    onBad: (image) => found.push(image),
  };
}

async function collect<T>(all: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of all) list.push(item);
  return list;
}

describe('batches', () => {
  it('gives every image once, in order, with its label', async () => {
    const found = await collect(batches(sourceOf(7), optionsOf()));
    expect(found.map(({ indices }) => indices)).toEqual([[0, 1, 2], [3, 4, 5], [6]]);
    expect(found.map(({ labels }) => [...labels])).toEqual([[0, 10, 20], [30, 40, 50], [60]]);
    const [first] = found;
    expect(first?.images).toEqual(toTensor([noise(5, 4, 0), noise(5, 4, 1), noise(5, 4, 2)], preprocess));
  });

  it('takes the indices asked for, in their order, and views of them', async () => {
    const asked: number[] = [];
    const options: BatchOptions = {
      ...optionsOf(),
      indices: Uint32Array.of(5, 2, 5),
      augment(image, index) {
        asked.push(index);
        return { ...image, data: image.data.map(() => index) };
      },
    };
    const [batch] = await collect(batches(sourceOf(7), options));
    expect(asked).toEqual([5, 2, 5]);
    expect(batch?.indices).toEqual([5, 2, 5]);
    expect([...new Set(batch?.images.data)]).toEqual([
      Math.fround((Math.fround(5 / 255) - 0.5) / 0.5),
      Math.fround((Math.fround(2 / 255) - 0.5) / 0.5),
    ]);
  });

  it('leaves bad images out, names them in order, and goes on', async () => {
    const bad: BadImage[] = [];
    const found = await collect(batches(sourceOf(9), optionsOf([1, 3, 4, 5, 8], bad)));
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
    const found = await collect(batches(source, options));
    expect(found.flatMap(({ indices }) => indices)).toEqual([0, 2, 4]);
    expect(bad.map(({ path }) => path)).toEqual(['1.jpg', '3.jpg']);
    expect(bad[0]?.reason).toMatch(/truncated/);
  });

  it('fails when nothing is usable, with the first reason', async () => {
    await expect(collect(batches(sourceOf(2), optionsOf([0, 1])))).rejects.toThrow(
      /None of the 2 images.*0.jpg is broken/,
    );
    await expect(collect(batches(sourceOf(0), optionsOf()))).rejects.toThrow(/no images to load/);
    const larger = { ...optionsOf(), preprocess: { ...preprocess, size: [9, 9] as const } };
    await expect(collect(batches(sourceOf(2), larger))).rejects.toThrow(/resizing is off/);
  });

  it('does not take a mistake of the program for a bad image', async () => {
    const options: BatchOptions = {
      ...optionsOf(),
      augment() {
        throw new TypeError('oops');
      },
    };
    await expect(collect(batches(sourceOf(2), options))).rejects.toThrow(TypeError);
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
    const all = batches(watched, optionsOf());
    await all.next();
    expect(read).toEqual([0, 1, 2, 3, 4, 5]);
    await all.return();
    expect(read).toHaveLength(6);
  });

  it('is not disturbed by a failure ahead of a caller who stops', async () => {
    const options = optionsOf();
    const all = batches(sourceOf(6), {
      ...options,
      async decode(bytes, file) {
        if ((bytes[0] ?? 0) >= 3) throw new TypeError('ahead');
        return options.decode(bytes, file);
      },
    });
    expect((await all.next()).done).toBe(false);
    await all.return();
  });

  it('refuses a batch size and indices that mean nothing', async () => {
    await expect(batches(sourceOf(2), { ...optionsOf(), batchSize: 0 }).next()).rejects.toThrow(/batch size/);
    await expect(batches(sourceOf(2), { ...optionsOf(), indices: [2] }).next()).rejects.toThrow(/no image 2/);
  });
});
