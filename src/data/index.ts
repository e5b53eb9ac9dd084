/**
 * Images: decoding, resizing, augmentation, preprocessing, batches.
 *
 * @packageDocumentation
 */

export { type AugmentOptions, augment, type RandomResizedCropOptions } from './augment.js';
export type { Box } from './cluttered-digits.js';
export type { Purpose } from './data-parts.js';
export { createJpegDecoder, type ImageDecoder } from './decode.js';
export type { RgbImage } from './image.js';
export type { DataPart, ImageClass, ImageItem, ImageOrigin, ImageSource, PartKind, ZipEntry } from './image-items.js';
export { type Color, fitImage, IMAGENET_MEAN, IMAGENET_STD, type Preprocess, toTensor } from './preprocess.js';
export type { Filter } from './resize.js';
