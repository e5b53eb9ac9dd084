import { ShiboriError } from '../errors.js';
import type { Tensor } from '../tensor/tensor.js';

/** The pixel where a map `[H, W]` is highest (the first in reading order), or `undefined` when the map is constant. */
export function findPeak(map: Tensor<'float32'>): { x: number; y: number } | undefined {
  const width = map.dims[1];
  if (map.dims.length !== 2 || width === undefined) {
    throw new ShiboriError(`Finding a map's peak: expected [H, W], found dimensions [${map.dims.join(', ')}].`, {
      code: 'invalid-data',
    });
  }
  let peak = 0;
  let constant = true;
  for (let p = 0; p < map.data.length; p++) {
    if (map.data[p] !== map.data[0]) constant = false;
    if ((map.data[p] as number) > (map.data[peak] as number)) peak = p;
  }
  return constant ? undefined : { x: peak % width, y: Math.floor(peak / width) };
}

/**
 * Whether a map's peak lies inside a box of pixels, `x0 ≤ x < x1` and `y0 ≤ y < y1`: the pointing game of Zhang et al.
 * 2016 (arXiv:1608.00507) without its tolerance of 15 pixels. A constant map has no peak and misses.
 */
export function pointingGame(
  map: Tensor<'float32'>,
  box: { readonly x0: number; readonly y0: number; readonly x1: number; readonly y1: number },
): boolean {
  const peak = findPeak(map);
  return peak !== undefined && peak.x >= box.x0 && peak.x < box.x1 && peak.y >= box.y0 && peak.y < box.y1;
}
