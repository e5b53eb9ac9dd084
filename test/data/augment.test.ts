import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type AugmentOptions,
  augment,
  checkAugmentOptions,
  drawCrop,
  flipHorizontally,
} from '../../src/data/augment.js';
import { adjustHue, adjustSaturation } from '../../src/data/color.js';
import { crop } from '../../src/data/image.js';
import { resizeImage } from '../../src/data/resize.js';
import { type RandomStream, seeded } from '../../src/tensor/random.js';
import { noise } from './noise.js';

const golden: { fallbackCrops: { width: number; height: number; scale: [number, number]; crop: number[] }[] } =
  JSON.parse(readFileSync(new URL('../golden/data/tensor.json', import.meta.url), 'utf8'));

/** A stream that gives these numbers for uniform draws, and nothing for integers. */
function scripted(...uniforms: number[]): RandomStream {
  const left = [...uniforms];
  return {
    uniform: (from = 0, to = 1) => from + (to - from) * (left.shift() ?? 0),
    integer: () => 0,
    permutation: () => new Uint32Array(),
  };
}

const options: AugmentOptions = {
  randomResizedCrop: { size: 24, scale: [0.5, 1] },
  horizontalFlip: 0.5,
  colorJitter: { saturation: 0.4, hue: 0.1 },
};

describe('augment', () => {
  const image = noise(32, 28, 1);

  it('gives the same view for the same keys and other views for others', () => {
    expect(augment(image, options, seeded(1, 2, 3))).toEqual(augment(image, options, seeded(1, 2, 3)));
    expect(augment(image, options, seeded(1, 2, 4))).not.toEqual(augment(image, options, seeded(1, 2, 3)));
    expect(augment(image, options, seeded(1, 2, 3))).toMatchObject({ width: 24, height: 24 });
  });

  it('does nothing when nothing is asked for', () => {
    expect(augment(image, {}, seeded(1))).toBe(image);
    expect(augment(image, { colorJitter: {} }, seeded(1))).toBe(image);
  });

  it('composes crop, mirror, saturation and hue as their parts', () => {
    // Half of the area, square, at the upper left corner; mirrored; saturation first, by 1.2, then hue by 0.05.
    const random = scripted(0, 0.5, 0.1, 0.9, 0.75, 0.75);
    const found = augment(
      image,
      { ...options, randomResizedCrop: { size: 24, scale: [0.5, 1], ratio: [1, 1] } },
      random,
    );
    const side = Math.round(Math.sqrt(0.5 * 32 * 28));
    const view = resizeImage(crop(image, { left: 0, top: 0, width: side, height: side }), 24, 24);
    expect(found).toEqual(adjustHue(adjustSaturation(flipHorizontally(view), 1.2), 0.05));
    const hueFirst = augment(image, { colorJitter: { saturation: 0.4, hue: 0.1 } }, scripted(0.1, 0.75, 0.75));
    expect(hueFirst).toEqual(adjustSaturation(adjustHue(image, 0.05), 1.2));
  });

  it('mirrors about half of the images', () => {
    const mirrored = flipHorizontally(image);
    const asked = { horizontalFlip: 0.5 };
    const views = Array.from({ length: 1000 }, (_, i) => augment(image, asked, seeded(7, i)));
    const flips = views.filter((view) => view.data[0] === mirrored.data[0] && view !== image).length;
    // Four standard deviations of 1000 fair coins are 63.
    expect(Math.abs(flips - 500)).toBeLessThan(63);
    expect(flipHorizontally(mirrored)).toEqual(image);
  });

  it('refuses options that mean nothing, by name', () => {
    const refuse = (bad: AugmentOptions) => expect(() => checkAugmentOptions(bad));
    refuse({ horizontalFlip: 2 }).toThrow(/horizontalFlip/);
    refuse({ colorJitter: { hue: 0.7 } }).toThrow(/colorJitter.hue.*0…0.5/);
    refuse({ colorJitter: { saturation: -1 } }).toThrow(/saturation/);
    refuse({ randomResizedCrop: { size: 0 } }).toThrow(/size/);
    refuse({ randomResizedCrop: { size: 8, scale: [0.9, 0.1] } }).toThrow(/scale.*\[0.9, 0.1\]/);
    refuse({ randomResizedCrop: { size: 8, ratio: [0, 1] } }).toThrow(/ratio/);
    expect(() => checkAugmentOptions(options)).not.toThrow();
  });
});

describe('drawCrop', () => {
  it.each(golden.fallbackCrops)('falls back to the middle of $width×$height as torchvision does', (entry) => {
    const { width, height, scale } = entry;
    const [top, left, cropHeight, cropWidth] = entry.crop;
    expect(drawCrop(width, height, { scale }, seeded(1))).toEqual({ top, left, height: cropHeight, width: cropWidth });
  });

  it('always lies inside the image, with the area and the shape asked for unless it falls back', () => {
    const side = fc.integer({ min: 1, max: 300 });
    fc.assert(
      fc.property(side, side, fc.nat(1e6), (width, height, seed) => {
        const box = drawCrop(width, height, { scale: [0.3, 0.6] }, seeded(seed));
        expect(() => crop({ width, height, data: new Uint8Array(width * height * 3) }, box)).not.toThrow();
        if (Math.min(width, height) < 100 || Math.max(width, height) > 1.2 * Math.min(width, height)) return;
        // Rounding to whole pixels moves each side by at most half a pixel.
        const share = (box.width * box.height) / (width * height);
        expect(share).toBeGreaterThan(0.3 * 0.98);
        expect(share).toBeLessThan(0.6 * 1.02);
        expect(box.width / box.height).toBeGreaterThan(0.75 * 0.98);
        expect(box.width / box.height).toBeLessThan((4 / 3) * 1.02);
      }),
    );
  });
});
