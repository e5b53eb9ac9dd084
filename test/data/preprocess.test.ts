import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { centerCrop } from '../../src/data/image.js';
import { fitImage, IMAGENET_MEAN, IMAGENET_STD, type Preprocess, toTensor } from '../../src/data/preprocess.js';
import { resizeImage, resizeShorterSide } from '../../src/data/resize.js';
import { crc32 } from '../../src/images/crc32.js';
import { getTensorBytes } from '../../src/tensor/tensor.js';
import { noise } from './noise.js';

const golden: { crc32: number; first: number[] } = JSON.parse(
  readFileSync(new URL('../golden/data/tensor.json', import.meta.url), 'utf8'),
);

const preprocess = (size: [number, number], kind: Preprocess['resize']): Preprocess => ({
  size,
  resize: kind,
  mean: IMAGENET_MEAN,
  std: IMAGENET_STD,
});

describe('toTensor', () => {
  it('is torchvision ToTensor and Normalize to the bit', () => {
    const tensor = toTensor([noise(16, 16, 8)], preprocess([16, 16], 'none'));
    expect(tensor.dims).toEqual([1, 3, 16, 16]);
    expect(Array.from(tensor.data.subarray(0, 4))).toEqual(golden.first);
    expect(crc32(getTensorBytes(tensor))).toBe(golden.crc32);
  });

  it('puts images one after another', () => {
    const options = preprocess([8, 12], 'stretch');
    const [a, b] = [noise(12, 8, 1), noise(20, 20, 2)];
    const both = toTensor([a, b], options);
    expect(both.dims).toEqual([2, 3, 8, 12]);
    expect(both.data.slice(0, 288)).toEqual(toTensor([a], options).data);
    expect(both.data.slice(288)).toEqual(toTensor([b], options).data);
  });

  it('gives blue first, and grey as Pillow’s convert("L") rounds it', () => {
    const image = { width: 2, height: 1, data: Uint8Array.of(255, 0, 10, 3, 200, 77) };
    const plain = { size: [1, 2], resize: 'none', range: [0, 255], mean: [0], std: [1] } as const;
    expect([...toTensor([image], plain).data]).toEqual([255, 3, 0, 200, 10, 77]);
    expect([...toTensor([image], { ...plain, color: 'bgr' }).data]).toEqual([10, 77, 0, 200, 255, 3]);
    const grey = toTensor([image], { ...plain, color: 'gray' });
    expect(grey.dims).toEqual([1, 1, 1, 2]);
    // 0.299 R + 0.587 G + 0.114 B: 77.4 and 127.1.
    expect([...grey.data]).toEqual([77, 127]);
  });

  it('scales pixels, then subtracts mean and divides by std in the order of the model’s channels', () => {
    const image = { width: 1, height: 1, data: Uint8Array.of(255, 0, 51) };
    const kind = { size: [1, 1], resize: 'none' } as const;
    expect([...toTensor([image], { ...kind, range: [-1, 1], mean: [0], std: [1] }).data]).toEqual([
      1,
      -1,
      Math.fround(-0.6),
    ]);
    const caffe = { ...kind, color: 'bgr', range: [0, 255], mean: [100, 110, 120], std: [1, 2, 5] } as const;
    expect([...toTensor([image], caffe).data]).toEqual([-49, -55, 27]);
  });

  it('refuses an empty batch', () => {
    expect(() => toTensor([], preprocess([8, 8], 'none'))).toThrow(/no images/);
  });
});

describe('fitImage', () => {
  it('does not touch an image of the right size', () => {
    const image = noise(12, 8, 1);
    for (const kind of ['none', 'stretch', 'shorter-side'] as const) {
      expect(fitImage(image, { ...preprocess([8, 12], kind), shorterSide: 20 })).toBe(image);
    }
  });

  it('resizes the shorter side and cuts out the middle, or stretches', () => {
    const image = noise(50, 40, 1);
    const options = preprocess([22, 22], 'shorter-side');
    expect(fitImage(image, { ...options, shorterSide: 25 })).toEqual(centerCrop(resizeShorterSide(image, 25), 22, 22));
    expect(fitImage(image, options)).toEqual(centerCrop(resizeShorterSide(image, 22), 22, 22));
    expect(fitImage(image, { ...options, resize: 'stretch', filter: 'bicubic' })).toEqual(
      resizeImage(image, 22, 22, { filter: 'bicubic' }),
    );
  });

  it('stretches and cuts where both are asked for', () => {
    const image = noise(50, 40, 1);
    const options: Preprocess = { ...preprocess([22, 22], 'stretch'), stretchSize: [25, 26] };
    expect(fitImage(image, options)).toEqual(centerCrop(resizeImage(image, 26, 25), 22, 22));
  });

  it('covers any size from any image', () => {
    const side = fc.integer({ min: 1, max: 40 });
    fc.assert(
      fc.property(side, side, side, side, (width, height, toWidth, toHeight) => {
        const fitted = fitImage(noise(width, height, 0), preprocess([toHeight, toWidth], 'shorter-side'));
        expect([fitted.width, fitted.height]).toEqual([toWidth, toHeight]);
      }),
    );
  });

  it('says how to allow resizing when it is off', () => {
    expect(() => fitImage(noise(9, 8, 1), preprocess([8, 8], 'none'))).toThrow(/8×8.*9×8.*"stretch"/);
  });
});
