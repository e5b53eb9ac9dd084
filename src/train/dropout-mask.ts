import type { RandomStream } from '../tensor/random.js';

const WORD = 2 ** 32;
/** What is left of a ratio below this is less than any training could show. */
const NEGLIGIBLE = 2 ** -40;

/**
 * Fills a mask with zeros, each with probability `ratio`, and 1 / (1 − ratio) elsewhere.
 *
 * A number is below the ratio as soon as its first differing bits are: a ratio of one half is decided by one random bit an
 * element, others by eight, and one element in 256 needs eight more.
 */
export function fillDropoutMask(mask: Float32Array, ratio: number, random: RandomStream): void {
  const bits = ratio === 0.5 ? 1 : 8;
  const levels = 2 ** bits;
  const whole = Math.floor(ratio * levels);
  const rest = ratio * levels - whole;
  // On the border the following bits tell.
  const border = rest > NEGLIGIBLE ? whole : -1;
  // Looked up rather than decided: a processor cannot foresee a random branch.
  const values = Float32Array.from({ length: levels }, (_, level) => (level < whole ? 0 : 1 / (1 - ratio)));
  const count = mask.length;
  for (let i = 0; i < count; ) {
    let word = random.integer(WORD) | 0;
    const end = Math.min(count, i + 32 / bits);
    for (; i < end; i++) {
      const level = word & (levels - 1);
      word >>>= bits;
      mask[i] = values[level] as number;
      if (level === border && random.uniform() < rest) mask[i] = 0;
    }
  }
}
