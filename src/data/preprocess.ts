/*
 * From 8-bit images to the tensor a model takes, as torchvision's Resize, CenterCrop, ToTensor and Normalize:
 * x = (low + pixel / 255 (high - low) - mean) / std per channel, each step rounded to float32. A pixel has 256 values,
 * so each channel's arithmetic is a table of 256 entries.
 */
import { ShiboriError } from '../errors.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import { toGrey } from './color.js';
import { centerCrop, type RgbImage } from './image.js';
import { type Filter, resizeImage, resizeShorterSide } from './resize.js';

/** Channel means of ImageNet's pixels in 0…1. */
export const IMAGENET_MEAN: readonly number[] = [0.485, 0.456, 0.406];
/** Channel standard deviations of ImageNet's pixels in 0…1. */
export const IMAGENET_STD: readonly number[] = [0.229, 0.224, 0.225];

/** The channels a model takes, in their order. `gray` is the luma of ITU-R 601 as Pillow's `convert('L')` rounds it. */
export type Color = 'rgb' | 'bgr' | 'gray';

/** What is done to an image before a model sees it. Plain data, so that it can be stored next to the model. */
export interface Preprocess {
  /** Height and width of the model's input, in pixels. An image that has them already is not touched. */
  readonly size: readonly [height: number, width: number];
  /**
   * How another image gets there. `shorter-side`: resized in proportion, then the middle is cut out; `stretch`: resized
   * to the size, proportions lost; `none`: another size is an error.
   */
  readonly resize: 'shorter-side' | 'stretch' | 'none';
  /** For `shorter-side`: what the shorter side becomes before the cut (256 for 224 is usual). Default: what just covers `size`. */
  readonly shorterSide?: number;
  /** For `stretch`: what the image is stretched to before the middle is cut out. Default: `size`, nothing is cut. */
  readonly stretchSize?: readonly [height: number, width: number];
  /** Default: `bilinear`. */
  readonly filter?: Filter;
  /** Default: `rgb`. */
  readonly color?: Color;
  /** What the pixels 0 and 255 become before the mean is subtracted. Default: `[0, 1]`. */
  readonly range?: readonly [low: number, high: number];
  /** One number for each of the model's channels, in their order, or one for all. */
  readonly mean: readonly number[];
  /** As `mean`. Never 0. */
  readonly std: readonly number[];
}

/** The image at the size that `preprocess` asks for, still 8-bit. Throws when its size is wrong and may not change. */
export function fitImage(image: RgbImage, preprocess: Preprocess): RgbImage {
  const [height, width] = preprocess.size;
  if (image.width === width && image.height === height) return image;
  const { filter = 'bilinear' } = preprocess;
  switch (preprocess.resize) {
    case 'stretch': {
      if (!preprocess.stretchSize) return resizeImage(image, width, height, { filter });
      const [fullHeight, fullWidth] = preprocess.stretchSize;
      return centerCrop(resizeImage(image, fullWidth, fullHeight, { filter }), width, height);
    }
    case 'shorter-side': {
      const side = preprocess.shorterSide ?? computeCoveringSide(image, width, height);
      return centerCrop(resizeShorterSide(image, side, filter), width, height);
    }
    case 'none':
      throw new ShiboriError(
        `The model takes images of ${width}×${height} pixels, this one has ${image.width}×${image.height}, and resizing is off. Set resize to "shorter-side" or "stretch".`,
        { code: 'invalid-data' },
      );
  }
}

/** The least shorter side with which the image, in proportion, covers `width` × `height`. */
function computeCoveringSide(image: RgbImage, width: number, height: number): number {
  const shorter = Math.min(image.width, image.height);
  const covering = Math.max((width * shorter) / image.width, (height * shorter) / image.height);
  // The longer side is rounded down when resized, so one more may be needed.
  for (let side = Math.floor(covering); ; side++) {
    const longer = Math.trunc((side * Math.max(image.width, image.height)) / shorter);
    const [w, h] = image.width <= image.height ? [side, longer] : [longer, side];
    if (w >= width && h >= height) return side;
  }
}

/** Where the model's channels are in an image's pixels; `gray` is made of all three. */
const channelOrder: { readonly [C in Color]: readonly number[] } = { rgb: [0, 1, 2], bgr: [2, 1, 0], gray: [0] };

/** The 256 values that a channel's pixels become. */
function computeLevels([low, high]: readonly [number, number], mean: number, std: number): Float32Array {
  const float32Mean = Math.fround(mean);
  const float32Std = Math.fround(std);
  return Float32Array.from({ length: 256 }, (_, pixel) =>
    Math.fround(Math.fround(Math.fround(low + (pixel / 255) * (high - low)) - float32Mean) / float32Std),
  );
}

/**
 * Images as a float32 tensor `[N, C, height, width]`, resized where needed and normalised: bit-exact with torchvision.
 * C is 3, or 1 for `gray`.
 *
 * @throws ShiboriError for no images, or one of another size when `preprocess.resize` is `none`.
 */
export function toTensor(images: readonly RgbImage[], preprocess: Preprocess): Tensor<'float32'> {
  if (images.length === 0) throw new ShiboriError('Cannot make a batch of no images.', { code: 'invalid-data' });
  const { color = 'rgb', range = [0, 1], mean, std } = preprocess;
  const [height, width] = preprocess.size;
  const plane = height * width;
  const channels = channelOrder[color];
  const tables = channels.map((_, i) => computeLevels(range, mean[i] ?? mean[0] ?? 0, std[i] ?? std[0] ?? 1));
  const values = new Float32Array(images.length * channels.length * plane);
  const stride = color === 'gray' ? 1 : 3;
  images.forEach((image, n) => {
    const fitted = fitImage(image, preprocess);
    const data = color === 'gray' ? toGrey(fitted) : fitted.data;
    tables.forEach((table, channel) => {
      const start = (n * channels.length + channel) * plane;
      for (let i = 0, from = channels[channel] ?? 0; i < plane; i++, from += stride) {
        values[start + i] = table[data[from] as number] as number;
      }
    });
  });
  return tensor('float32', [images.length, channels.length, height, width], values);
}
