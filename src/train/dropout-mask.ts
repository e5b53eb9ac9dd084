import type { RandomStream } from '../tensor/random.js';

const WORD = 2 ** 32;
/** What is left of a ratio below this is less than any training could show. */
const NEGLIGIBLE = 2 ** -40;

/**
 * Fills a mask with zeros, each with probability `ratio`, and 1 / (1 − ratio) elsewhere.
 *
 * A number is below the ratio as soon as its first differing bits are: a ratio of one half is told by one random bit an
 * element, others by eight, and one element in 256 needs eight more.
 */
export function fillDropoutMask(mask: Float32Array, ratio: number, random: RandomStream): void {
  const keep = 1 / (1 - ratio);
  const bits = ratio === 0.5 ? 1 : 8;
  const levels = 2 ** bits;
  const whole = Math.floor(ratio * levels);
  const rest = ratio * levels - whole;
  const count = mask.length;
  let word = 0;
  let left = 0;
  for (let i = 0; i < count; i++) {
    if (left === 0) {
      word = random.integer(WORD);
      left = 32;
    }
    const level = word & (levels - 1);
    word >>>= bits;
    left -= bits;
    // On the border the following bits tell.
    const dropped = level < whole || (level === whole && rest > NEGLIGIBLE && random.uniform() < rest);
    mask[i] = dropped ? 0 : keep;
  }
}
