import { existsSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BadImage, loadBatches } from '../../src/data/batches.js';
import { findIndexByPath, type ImageSource } from '../../src/data/image-items.js';
import { createDirectLoader } from '../../src/data/image-loader.js';
import { IMAGENET_MEAN, IMAGENET_STD } from '../../src/data/preprocess.js';
import { crc32 } from '../../src/images/crc32.js';
import { decodeImage } from '../../src/images/decode-image.js';
import { openImageSource } from '../../src/images/image-source.js';
import { range } from '../../src/tensor/dims.js';
import { randomSplit } from '../../src/tensor/random.js';
import { requires } from '../support/requires.js';
import { sharedData } from '../support/shared-data.js';

const shared = `${sharedData}/`;
const isThere = existsSync(`${shared}tiny-imagenet-subset.zip`);

const golden: { everyTenth: number[] } = JSON.parse(
  readFileSync(new URL('../golden/data/real.json', import.meta.url), 'utf8'),
);

describe('Tiny ImageNet', requires('shared data', isThere), () => {
  let validation: ImageSource;
  beforeAll(async () => {
    validation = await openImageSource(`${shared}split-val.txt`);
  });
  afterAll(() => validation.close?.());

  it('gives the 5,000 validation images in their order, with labels and names', () => {
    const lines = readFileSync(`${shared}split-val.txt`, 'utf8').trim().split('\n');
    expect(validation.items.map(({ path }) => path)).toEqual(lines);
    expect(validation.classes).toHaveLength(200);
    expect([validation.classes[0]?.name, validation.classes[31]?.name]).toEqual(['goldfish', 'Persian cat']);
    for (const { path, label } of validation.items) expect(path).toContain(`/${validation.classes[label]?.id}/`);
    expect(validation.items[1894]).toEqual({ path: 'train/n01443537/images/n01443537_247.JPEG', label: 0 });
    expect(validation.items[1194]).toEqual({ path: 'train/n02123394/images/n02123394_249.JPEG', label: 31 });
    expect(findIndexByPath(validation, 'n01443537_247.JPEG')).toBe(1894);
  });

  it('are the images that our own random split picks out of the full listing', () => {
    const listing = validation.classes.flatMap(({ id }) =>
      range(500)
        .map((i) => `train/${id}/images/${id}_${i}.JPEG`)
        .sort(),
    );
    const picked = randomSplit(listing.length, [0.95, 0.05], 42)[1] ?? [];
    expect(picked.map((index) => listing[index])).toEqual(validation.items.map(({ path }) => path));
  });

  it('decodes to the pixels of PIL, grey images included', async () => {
    for (const [i, expected] of golden.everyTenth.entries()) {
      const image = await decodeImage(await validation.read(i * 10), 'image');
      expect(crc32(image.data)).toBe(expected);
    }
  });

  it('loads in batches', async () => {
    const preprocess = { size: [64, 64], resize: 'none', mean: IMAGENET_MEAN, std: IMAGENET_STD } as const;
    const bad: string[] = [];
    const loader = createDirectLoader(validation, decodeImage, { preprocess, augmentation: undefined, seed: 0 });
    const options = { batchSize: 64, indices: range(200), onBad: ({ path }: BadImage) => bad.push(path) };
    let images = 0;
    for await (const batch of loadBatches(validation, loader, options)) {
      expect(batch.images.dims.slice(1)).toEqual([3, 64, 64]);
      images += batch.labels.length;
    }
    expect([images, bad]).toEqual([200, []]);
  });

  it('has 50,000 images in the archive, in the order of ImageFolder', async () => {
    const all = await openImageSource(`${shared}tiny-imagenet-subset.zip`);
    expect(all.items).toHaveLength(50_000);
    const paths = all.items.map(({ path }) => path);
    expect(paths).toEqual(paths.toSorted());
    await all.close?.();
  });
});
