import type { RgbImage } from '../../src/data/image.js';
import { MersenneTwister } from '../../src/tensor/random.js';

/** Uniform noise: the same pixels as `noise` of golden/data/make.py, so that goldens need not hold images. */
export function noise(width: number, height: number, seed: number): RgbImage {
  const values = new MersenneTwister(seed).rand(width * height * 3);
  return { width, height, data: Uint8Array.from(values, (value) => Math.floor(value * 256)) };
}
