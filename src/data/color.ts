/*
 * Saturation and hue of 8-bit images as Pillow computes them, to the bit, single-precision steps included: these are
 * what torchvision's ColorJitter does to the images a model trains on.
 *
 * Grey (ITU-R 601-2): L = 0.299 R + 0.587 G + 0.114 B in 16-bit fixed point. Hue, saturation, value: Smith 1978,
 * "Color gamut transform pairs", scaled to 0…255 each.
 */
import { UsageError } from '../errors.js';
import type { RgbImage } from './image.js';

const fround = Math.fround;

const computeGreyLevel = (r: number, g: number, b: number): number => (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16;

/** The grey levels of an image, one byte a pixel: Pillow's `convert('L')`. */
export function toGrey({ data }: RgbImage): Uint8Array {
  const grey = new Uint8Array(data.length / 3);
  for (let i = 0, from = 0; i < grey.length; i++, from += 3) {
    grey[i] = computeGreyLevel(data[from] as number, data[from + 1] as number, data[from + 2] as number);
  }
  return grey;
}

/**
 * The image blended with its grey version: factor 0 is grey, 1 the image itself, above 1 more colourful (clamped).
 * As `torchvision.transforms.functional.adjust_saturation` of a PIL image. Throws for a negative factor.
 */
export function adjustSaturation(image: RgbImage, factor: number): RgbImage {
  if (!(factor >= 0)) throw new UsageError(`A saturation factor must be 0 or more, found ${factor}.`);
  if (factor === 1) return image;
  const source = image.data;
  const data = new Uint8Array(source.length);
  const alpha = fround(factor);
  for (let i = 0; i < source.length; i += 3) {
    const r = source[i] as number;
    const g = source[i + 1] as number;
    const b = source[i + 2] as number;
    const grey = computeGreyLevel(r, g, b);
    data[i] = blend(grey, r, alpha);
    data[i + 1] = blend(grey, g, alpha);
    data[i + 2] = blend(grey, b, alpha);
  }
  return { width: image.width, height: image.height, data };
}

function blend(grey: number, value: number, alpha: number): number {
  const blended = fround(grey + fround(alpha * (value - grey)));
  return blended <= 0 ? 0 : blended >= 255 ? 255 : Math.trunc(blended);
}

/**
 * The image with its hues turned by `factor` of a full turn, -0.5…0.5, in steps of 1/255.
 * As `torchvision.transforms.functional.adjust_hue` of a PIL image. Throws for a factor outside.
 */
export function adjustHue(image: RgbImage, factor: number): RgbImage {
  if (!(factor >= -0.5 && factor <= 0.5)) throw new UsageError(`A hue factor must be in -0.5…0.5, found ${factor}.`);
  const shift = Math.trunc(factor * 255) & 255;
  const source = image.data;
  const data = new Uint8Array(source.length);
  for (let i = 0; i < source.length; i += 3) {
    const r = source[i] as number;
    const g = source[i + 1] as number;
    const b = source[i + 2] as number;
    const value = Math.max(r, g, b);
    const range = value - Math.min(r, g, b);
    const saturation = range === 0 ? 0 : Math.trunc(fround(range / value) * 255);
    if (saturation === 0) {
      data[i] = data[i + 1] = data[i + 2] = value;
      continue;
    }
    writeHsv(data, i, (computeHue(r, g, b, value, range) + shift) & 255, saturation, value);
  }
  return { width: image.width, height: image.height, data };
}

/** Hue in 0…255. Pillow's intermediate values are single precision, its sums with constants double. */
function computeHue(r: number, g: number, b: number, value: number, range: number): number {
  const fromRed = fround((value - r) / range);
  const fromGreen = fround((value - g) / range);
  const fromBlue = fround((value - b) / range);
  let sextant: number;
  if (r === value) sextant = fround(fromBlue - fromGreen);
  else if (g === value) sextant = fround(2 + fromRed - fromBlue);
  else sextant = fround(4 + fromGreen - fromRed);
  const turned = sextant / 6 + 1;
  return Math.trunc(fround(turned - Math.floor(turned)) * 255);
}

function writeHsv(data: Uint8Array, at: number, hue: number, saturation: number, value: number): void {
  const position = (hue * 6) / 255;
  const sextant = Math.floor(position);
  const rest = fround(position - sextant);
  const s = fround(saturation / 255);
  const low = Math.round(value * (1 - s));
  const falling = Math.round(value * (1 - fround(s * rest)));
  const rising = Math.round(value * (1 - s * (1 - rest)));
  let r = value;
  let g = low;
  let b = low;
  switch (sextant % 6) {
    case 0:
      g = rising;
      break;
    case 1:
      r = falling;
      g = value;
      break;
    case 2:
      r = low;
      g = value;
      b = rising;
      break;
    case 3:
      r = low;
      g = falling;
      b = value;
      break;
    case 4:
      r = rising;
      b = value;
      break;
    default:
      b = falling;
  }
  data[at] = r;
  data[at + 1] = g;
  data[at + 2] = b;
}
