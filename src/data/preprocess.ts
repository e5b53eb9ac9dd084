/*
 * From 8-bit images to the tensor a model takes, as torchvision's Resize, CenterCrop, ToTensor and Normalize:
 * x = (pixel / 255 - mean) / std per channel, each step rounded to float32. A pixel has 256 values, so each channel's
 * arithmetic is a table of 256 entries.
 */
import { ShiboriError } from '../errors.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import { centerCrop, type RgbImage } from './image.js';
import { type Filter, resize, resizeShorterSide } from './resize.js';

type Triple = readonly [red: number, green: number, blue: number];

/** Channel means of ImageNet's pixels in 0…1. */
export const IMAGENET_MEAN: Triple = [0.485, 0.456, 0.406];
/** Channel standard deviations of ImageNet's pixels in 0…1. */
export const IMAGENET_STD: Triple = [0.229, 0.224, 0.225];

/** What is done to an image before a model sees it. Plain data, so that it can be stored beside the model. */
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
  /** Default: `bilinear`. */
  readonly filter?: Filter;
  readonly mean: Triple;
  readonly std: Triple;
}

/** The image at the size that `preprocess` asks for, still 8-bit. Throws when its size is wrong and may not change. */
export function fitImage(image: RgbImage, preprocess: Preprocess): RgbImage {
  const [height, width] = preprocess.size;
  if (image.width === width && image.height === height) return image;
  const { filter = 'bilinear' } = preprocess;
  switch (preprocess.resize) {
    case 'stretch':
      return resize(image, width, height, { filter });
    case 'shorter-side': {
      const side = preprocess.shorterSide ?? coveringSide(image, width, height);
      return centerCrop(resizeShorterSide(image, side, filter), width, height);
    }
    case 'none':
      throw new ShiboriError(
        `The model takes images of ${width}×${height} pixels, this one has ${image.width}×${image.height}, and resizing is off. Set resize to "shorter-side" or "stretch".`,
      );
  }
}

/** The least shorter side with which the image, in proportion, covers `width` × `height`. */
function coveringSide(image: RgbImage, width: number, height: number): number {
  const shorter = Math.min(image.width, image.height);
  const covering = Math.max((width * shorter) / image.width, (height * shorter) / image.height);
  // The longer side is rounded down when resized, so one more may be needed.
  for (let side = Math.floor(covering); ; side++) {
    const longer = Math.trunc((side * Math.max(image.width, image.height)) / shorter);
    const [w, h] = image.width <= image.height ? [side, longer] : [longer, side];
    if (w >= width && h >= height) return side;
  }
}

/** The 256 values that a channel's pixels become. */
function levels(mean: number, std: number): Float32Array {
  const float32Mean = Math.fround(mean);
  const float32Std = Math.fround(std);
  return Float32Array.from({ length: 256 }, (_, pixel) =>
    Math.fround(Math.fround(Math.fround(pixel / 255) - float32Mean) / float32Std),
  );
}

/**
 * Images as a float32 tensor `[N, 3, height, width]`, resized where needed and normalised: bit-exact with torchvision.
 *
 * @throws ShiboriError for no images, or one of another size when `preprocess.resize` is `none`.
 */
export function toTensor(images: readonly RgbImage[], preprocess: Preprocess): Tensor<'float32'> {
  if (images.length === 0) throw new ShiboriError('Cannot make a batch of no images.');
  const [height, width] = preprocess.size;
  const plane = height * width;
  const tables = [0, 1, 2].map((channel) => levels(preprocess.mean[channel] ?? 0, preprocess.std[channel] ?? 1));
  const values = new Float32Array(images.length * 3 * plane);
  images.forEach((image, n) => {
    const { data } = fitImage(image, preprocess);
    tables.forEach((table, channel) => {
      const start = (n * 3 + channel) * plane;
      for (let i = 0, from = channel; i < plane; i++, from += 3) {
        values[start + i] = table[data[from] as number] as number;
      }
    });
  });
  return tensor('float32', [images.length, 3, height, width], values);
}
