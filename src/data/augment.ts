/*
 * Random views of a training image, as torchvision draws and computes them for PIL images: RandomResizedCrop (Szegedy
 * et al. 2014, "Going deeper with convolutions", section 6), then a mirror image, then ColorJitter of saturation and hue.
 * The pixels of a view are those of torchvision for the same crop and factors; the draws are our own stream's.
 */
import { UsageError } from '../errors.js';
import type { RandomStream } from '../tensor/random.js';
import { roundHalfToEven } from '../tensor/round.js';
import { adjustHue, adjustSaturation } from './color.js';
import { crop, type Rectangle, type RgbImage } from './image.js';
import { resizeImage } from './resize.js';

/** Lists the options of torchvision's RandomResizedCrop. */
export interface RandomResizedCropOptions {
  /** Side of the square result, in pixels. */
  readonly size: number;
  /** Range of the crop's share of the image's area. Default: 0.08…1. */
  readonly scale?: readonly [min: number, max: number];
  /** Range of the crop's width over its height, drawn on a logarithmic scale. Default: 3/4…4/3. */
  readonly ratio?: readonly [min: number, max: number];
}

/** Which random changes a view of a training image goes through, in this order; left out: none of that kind. */
export interface AugmentOptions {
  readonly randomResizedCrop?: RandomResizedCropOptions;
  /** Probability of mirroring left and right. Default: 0. */
  readonly horizontalFlip?: number;
  readonly colorJitter?: {
    /** The factor is drawn from `max(0, 1 - saturation) … 1 + saturation`. Default: 0, no change. */
    readonly saturation?: number;
    /** The turn is drawn from `-hue … hue` of a full one, at most 0.5. Default: 0, no change. */
    readonly hue?: number;
  };
}

/** Tries before the central crop of the nearest permitted shape is taken. */
const CROP_TRIES = 10;

function checkRange(name: string, [min, max]: readonly [number, number], from: number, to: number): void {
  if (!(min >= from && min <= max && max <= to)) {
    throw new UsageError(`Augmentation: ${name} must be a range within ${from}…${to}, found [${min}, ${max}].`);
  }
}

/**
 * Refuses augmentation options that mean nothing (a probability of 2, a hue beyond half a turn).
 *
 * @throws UsageError naming the option.
 */
export function checkAugmentOptions(options: AugmentOptions): void {
  const { randomResizedCrop, horizontalFlip = 0, colorJitter: { saturation = 0, hue = 0 } = {} } = options;
  if (randomResizedCrop !== undefined) {
    const { size, scale = [0.08, 1], ratio = [3 / 4, 4 / 3] } = randomResizedCrop;
    if (!(Number.isInteger(size) && size > 0)) {
      throw new UsageError(`Augmentation: randomResizedCrop.size must be a positive number of pixels, found ${size}.`);
    }
    checkRange('randomResizedCrop.scale', scale, 0, 1);
    checkRange('randomResizedCrop.ratio', ratio, 0.01, 100);
  }
  checkRange('horizontalFlip', [horizontalFlip, horizontalFlip], 0, 1);
  checkRange('colorJitter.saturation', [saturation, saturation], 0, 100);
  checkRange('colorJitter.hue', [hue, hue], 0, 0.5);
}

/** The rectangle that RandomResizedCrop takes of an image of `width` × `height` pixels. */
export function drawCrop(
  width: number,
  height: number,
  { scale = [0.08, 1], ratio = [3 / 4, 4 / 3] }: Omit<RandomResizedCropOptions, 'size'>,
  random: RandomStream,
): Rectangle {
  const [narrowest, widest] = ratio;
  for (let attempt = 0; attempt < CROP_TRIES; attempt++) {
    const area = width * height * random.uniform(...scale);
    const shape = Math.exp(random.uniform(Math.log(narrowest), Math.log(widest)));
    const w = roundHalfToEven(Math.sqrt(area * shape));
    const h = roundHalfToEven(Math.sqrt(area / shape));
    if (w > 0 && w <= width && h > 0 && h <= height) {
      return { top: random.integer(height - h + 1), left: random.integer(width - w + 1), width: w, height: h };
    }
  }
  const shape = width / height;
  const w = shape > widest ? Math.max(1, roundHalfToEven(height * widest)) : width;
  const h = shape < narrowest ? Math.max(1, roundHalfToEven(width / narrowest)) : height;
  return { left: Math.floor((width - w) / 2), top: Math.floor((height - h) / 2), width: w, height: h };
}

/** The image mirrored left and right. */
export function flipHorizontally({ width, height, data }: RgbImage): RgbImage {
  const flipped = new Uint8Array(data.length);
  for (let y = 0; y < height; y++) {
    let from = (y * width + width - 1) * 3;
    let to = y * width * 3;
    for (let x = 0; x < width; x++, from -= 3) {
      flipped[to++] = data[from] as number;
      flipped[to++] = data[from + 1] as number;
      flipped[to++] = data[from + 2] as number;
    }
  }
  return { width, height, data: flipped };
}

/**
 * A random view of the image: crop and resize, mirror, saturation and hue in either order; what is not asked for is left out.
 *
 * The options are taken as checked (`checkAugmentOptions`).
 *
 * @example augment(image, { horizontalFlip: 0.5 }, seeded(42, 0, 7))
 */
export function augment(image: RgbImage, options: AugmentOptions, random: RandomStream): RgbImage {
  const { randomResizedCrop, horizontalFlip = 0, colorJitter: { saturation = 0, hue = 0 } = {} } = options;
  let view = image;
  if (randomResizedCrop !== undefined) {
    const { size } = randomResizedCrop;
    view = resizeImage(crop(view, drawCrop(view.width, view.height, randomResizedCrop, random)), size, size);
  }
  if (horizontalFlip > 0 && random.uniform() < horizontalFlip) view = flipHorizontally(view);
  if (saturation > 0 || hue > 0) {
    const hueFirst = random.uniform() < 0.5;
    const factor = random.uniform(Math.max(0, 1 - saturation), 1 + saturation);
    const turn = random.uniform(-hue, hue);
    if (hue > 0 && hueFirst) view = adjustHue(view, turn);
    if (saturation > 0) view = adjustSaturation(view, factor);
    if (hue > 0 && !hueFirst) view = adjustHue(view, turn);
  }
  return view;
}
