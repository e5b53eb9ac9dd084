import type { RgbImage } from '../data/image.js';
import { ShiboriError } from '../errors.js';
import type { Tensor } from '../tensor/tensor.js';
import { JET } from './colormap.js';

function getMapSize(map: Tensor<'float32'>): { width: number; height: number } {
  const [height, width] = map.dims;
  if (map.dims.length !== 2 || height === undefined || width === undefined) {
    throw new ShiboriError(`Colouring a map: expected [H, W], found dimensions [${map.dims.join(', ')}].`, {
      code: 'unsupported-model',
    });
  }
  return { width, height };
}

/** A map `[H, W]` (0…1, values outside are clamped) in jet colours: blue is 0, red is 1. */
export function colorizeMap(map: Tensor<'float32'>): RgbImage {
  const { width, height } = getMapSize(map);
  const data = new Uint8Array(width * height * 3);
  for (let p = 0; p < map.data.length; p++) {
    // Truncated, not rounded: the reference casts 255 x to an 8-bit integer.
    const level = Math.floor(Math.min(Math.max(255 * (map.data[p] as number), 0), 255)) * 3;
    data[3 * p] = JET[level] as number;
    data[3 * p + 1] = JET[level + 1] as number;
    data[3 * p + 2] = JET[level + 2] as number;
  }
  return { width, height, data };
}

/**
 * An image with its map laid over it, as the field's usual `show_cam_on_image`: half image, half jet colours, then
 * rescaled so that the brightest channel is 255.
 *
 * @throws ShiboriError when image and map differ in size.
 */
export function overlayMap(image: RgbImage, map: Tensor<'float32'>): RgbImage {
  const heat = colorizeMap(map);
  if (heat.width !== image.width || heat.height !== image.height) {
    throw new ShiboriError(
      `Laying a map over an image: the image is ${image.width}×${image.height}, the map ${heat.width}×${heat.height}.`,
      { code: 'unsupported-model' },
    );
  }
  let brightest = 1;
  for (let i = 0; i < heat.data.length; i++) {
    brightest = Math.max(brightest, (heat.data[i] as number) + (image.data[i] as number));
  }
  const data = heat.data.map((level, i) => Math.floor((255 * (level + (image.data[i] as number))) / brightest));
  return { width: image.width, height: image.height, data };
}
