import { ShiboriError } from '../errors.js';
import { roundHalfToEven } from '../tensor/round.js';

/** An image of 8-bit RGB pixels: `data[(y * width + x) * 3 + channel]`. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** A rectangle of an image, in whole pixels. */
export interface Rectangle {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** The part of an image inside a rectangle, as a copy. Throws when the rectangle is empty or reaches outside. */
export function crop(image: RgbImage, { left, top, width, height }: Rectangle): RgbImage {
  if (
    !(width > 0 && height > 0 && left >= 0 && top >= 0 && left + width <= image.width && top + height <= image.height)
  ) {
    throw new ShiboriError(
      `Cannot crop ${width}×${height} pixels at (${left}, ${top}) from an image of ${image.width}×${image.height} pixels.`,
      { code: 'invalid-data' },
    );
  }
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    const start = ((top + y) * image.width + left) * 3;
    data.set(image.data.subarray(start, start + width * 3), y * width * 3);
  }
  return { width, height, data };
}

/**
 * The middle of an image, as `torchvision.transforms.CenterCrop`: a margin of an odd number of pixels is split with
 * half to even. An image that is smaller than `width` × `height` gets a black margin, the odd pixel right and below.
 */
export function centerCrop(image: RgbImage, width: number, height: number): RgbImage {
  const inside = { width: Math.min(width, image.width), height: Math.min(height, image.height) };
  const left = roundHalfToEven((image.width - inside.width) / 2);
  const top = roundHalfToEven((image.height - inside.height) / 2);
  const middle = crop(image, { left, top, ...inside });
  if (inside.width === width && inside.height === height) return middle;
  const data = new Uint8Array(width * height * 3);
  const [marginLeft, marginTop] = [Math.floor((width - inside.width) / 2), Math.floor((height - inside.height) / 2)];
  for (let y = 0; y < inside.height; y++) {
    const row = middle.data.subarray(y * inside.width * 3, (y + 1) * inside.width * 3);
    data.set(row, ((marginTop + y) * width + marginLeft) * 3);
  }
  return { width, height, data };
}
