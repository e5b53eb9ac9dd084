/** Panels of pictures: an image, and a map over it, at a size that shows them well. */
import sharp from 'sharp';
import type { RgbImage } from '../data/image.js';
import { ShiboriError } from '../errors.js';
import { resizeBilinear } from '../explain/map.js';
import { colorizeMap, overlayMap } from '../explain/overlay.js';
import { float32, type Tensor } from '../tensor/tensor.js';

/** Side of a panel in pixels: small images are enlarged a whole number of times, up to it; large ones are shrunk. */
const PANEL = 256;
/** Quality of WebP, 0…100: no artefacts that could be taken for a part of a map. */
const QUALITY = 90;

/** Finds the size of the panel of an image. */
export function computePanelSize({ width, height }: RgbImage): { width: number; height: number } {
  const scale = PANEL / Math.max(width, height);
  const factor = scale >= 1 ? Math.floor(scale) : scale;
  return { width: Math.max(Math.round(width * factor), 1), height: Math.max(Math.round(height * factor), 1) };
}

/** Scales an image to the size of a panel: its pixels as squares when enlarged, smooth when shrunk. */
export async function scaleImage(image: RgbImage, size: { width: number; height: number }): Promise<RgbImage> {
  const { width, height } = image;
  const kernel = size.width >= width ? 'nearest' : 'lanczos3';
  const data = await sharp(image.data, { raw: { width, height, channels: 3 } })
    .resize({ ...size, fit: 'fill', kernel })
    .raw()
    .toBuffer();
  return { ...size, data };
}

/**
 * Draws the panels of an image and a map of its size: the image, the map in colours, and the map over the image.
 *
 * @param name of the image, for the error.
 * @throws ShiboriError when the map is not of the image's size.
 */
export async function drawPanels(
  image: RgbImage,
  map: Tensor<'float32'>,
  name: string,
): Promise<readonly [image: RgbImage, map: RgbImage, overlay: RgbImage]> {
  const [mapHeight, mapWidth] = map.dims;
  if (mapHeight !== image.height || mapWidth !== image.width) {
    throw new ShiboriError(
      `Drawing "${name}": the image is ${image.width}×${image.height} pixels, its map [${map.dims.join(', ')}].`,
      { code: 'invalid-data' },
    );
  }
  const size = computePanelSize(image);
  const scaled = await scaleImage(image, size);
  const resized = resizeBilinear(map, size.height, size.width);
  return [scaled, colorizeMap(resized), overlayMap(scaled, resized)];
}

/** Encodes a panel as WebP. */
export async function encodeWebp({ width, height, data }: RgbImage): Promise<Uint8Array> {
  return sharp(data, { raw: { width, height, channels: 3 } })
    .webp({ quality: QUALITY, smartSubsample: true })
    .toBuffer();
}

/** Draws the colours of maps from 0 to 1, as WebP. */
export function drawScale(): Promise<Uint8Array> {
  const levels = Float32Array.from({ length: PANEL }, (_, k) => k / (PANEL - 1));
  return encodeWebp(colorizeMap(float32(levels, [1, PANEL])));
}
