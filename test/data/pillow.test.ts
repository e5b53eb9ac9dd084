import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { adjustHue, adjustSaturation } from '../../src/data/color.js';
import { centerCrop, crop, type RgbImage } from '../../src/data/image.js';
import { type Filter, resizeImage, resizeShorterSide } from '../../src/data/resize.js';
import { crc32 } from '../../src/images/crc32.js';
import { range } from '../../src/tensor/dims.js';
import { roundHalfToEven } from '../../src/tensor/round.js';
import { noise } from './noise.js';

type Size = [width: number, height: number];
interface Golden {
  resize: { source: Size; size: Size; box: [number, number, number, number] | null; filter: Filter; crc32: number }[];
  shorterSide: { source: Size; to: number; size: Size; crc32: number }[];
  centreCrop: { source: Size; size: Size; crc32: number }[];
  colour: { image: 'lattice' | 'noise'; saturation?: number; hue?: number; crc32: number }[];
}
const golden: Golden = JSON.parse(readFileSync(new URL('../golden/data/images.json', import.meta.url), 'utf8'));

/** All colours whose channels are multiples of 5. */
function lattice(): RgbImage {
  const levels = range(52).map((i) => i * 5);
  const data = levels.flatMap((r) => levels.flatMap((g) => levels.flatMap((b) => [r, g, b])));
  return { width: 52 * 52, height: 52, data: Uint8Array.from(data) };
}

describe('resize', () => {
  it.each(golden.resize)('is Pillow to the bit: $source to $size, box $box, $filter', (entry) => {
    const { source, size, box, filter } = entry;
    const resized = resizeImage(noise(...source, 1), ...size, box === null ? { filter } : { filter, box });
    expect([resized.width, resized.height]).toEqual(size);
    expect(crc32(resized.data)).toBe(entry.crc32);
  });

  it.each(golden.shorterSide)('brings the shorter side of $source to $to as torchvision does', (entry) => {
    const resized = resizeShorterSide(noise(...entry.source, 2), entry.to);
    expect([resized.width, resized.height]).toEqual(entry.size);
    expect(crc32(resized.data)).toBe(entry.crc32);
  });

  const side = fc.integer({ min: 1, max: 24 });
  const filter = fc.constantFrom<Filter>('bilinear', 'bicubic');

  it('keeps a picture of one colour at that colour, whatever the size', () => {
    fc.assert(
      fc.property(side, side, side, side, filter, fc.nat(255), (w, h, toW, toH, kind, level) => {
        const flat: RgbImage = { width: w, height: h, data: new Uint8Array(w * h * 3).fill(level) };
        expect(resizeImage(flat, toW, toH, { filter: kind }).data).toEqual(new Uint8Array(toW * toH * 3).fill(level));
      }),
    );
  });

  it('never leaves the range of the picture with the bilinear filter', () => {
    fc.assert(
      fc.property(side, side, side, side, fc.nat(99), (w, h, toW, toH, seed) => {
        const image = noise(w, h, seed);
        const resized = resizeImage(image, toW, toH);
        expect(Math.min(...resized.data)).toBeGreaterThanOrEqual(Math.min(...image.data));
        expect(Math.max(...resized.data)).toBeLessThanOrEqual(Math.max(...image.data));
      }),
    );
  });

  it('of a box of whole pixels at its own size is a crop', () => {
    const image = noise(20, 15, 5);
    const rectangle = { left: 3, top: 2, width: 11, height: 9 };
    expect(resizeImage(image, 11, 9, { box: [3, 2, 14, 11] })).toEqual(crop(image, rectangle));
  });

  it('gives the image itself when nothing changes', () => {
    const image = noise(4, 5, 0);
    expect(resizeImage(image, 4, 5)).toBe(image);
    expect(resizeShorterSide(image, 4)).toBe(image);
  });

  it('refuses empty sizes and boxes outside', () => {
    const image = noise(4, 4, 0);
    expect(() => resizeImage(image, 0, 4)).toThrow(/0×4/);
    expect(() => resizeImage(image, 4, 2.5)).toThrow(/2.5/);
    expect(() => resizeImage(image, 4, 4, { box: [0, 0, 5, 4] })).toThrow(/lie inside/);
    expect(() => resizeImage(image, 4, 4, { box: [2, 0, 2, 4] })).toThrow(/not be empty/);
    expect(() => resizeImage(image, 4, 4, { box: [Number.NaN, 0, 2, 4] })).toThrow(/lie inside/);
  });
});

describe('centerCrop', () => {
  it.each(golden.centreCrop)('takes the middle $size of $source as torchvision does', (entry) => {
    expect(crc32(centerCrop(noise(...entry.source, 3), ...entry.size).data)).toBe(entry.crc32);
  });

  it('rounds halves to even, as Python does', () => {
    expect([0.5, 1.5, 2.5, -0.5, -1.5, 2.4, 2.6].map(roundHalfToEven)).toEqual([0, 2, 2, 0, -2, 2, 3]);
  });
});

describe('colour', () => {
  const images = { lattice: lattice(), noise: noise(64, 64, 4) };

  it.each(golden.colour)('of the $image is Pillow to the bit: saturation $saturation, hue $hue', (entry) => {
    const image = images[entry.image];
    const adjusted =
      entry.saturation === undefined ? adjustHue(image, entry.hue ?? 0) : adjustSaturation(image, entry.saturation);
    expect(crc32(adjusted.data)).toBe(entry.crc32);
  });

  it('leaves grey pixels alone', () => {
    const data = Uint8Array.from(range(256).flatMap((level) => [level, level, level]));
    const grey = { width: 256, height: 1, data };
    expect(adjustHue(grey, 0.3)).toEqual(grey);
    expect(adjustSaturation(grey, 1.7)).toEqual(grey);
  });

  it('refuses factors that mean nothing', () => {
    expect(() => adjustHue(images.noise, 0.6)).toThrow(/-0.5…0.5/);
    expect(() => adjustSaturation(images.noise, -1)).toThrow(/0 or more/);
  });
});
