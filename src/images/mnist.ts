import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { brotliDecompressSync } from 'node:zlib';
import type { Digits } from '../data/cluttered-digits.js';
import { ShiboriError } from '../errors.js';

/** How many digits of each part of MNIST come with this package, in the order of the file: the first ones of each. */
export const DIGIT_COUNTS = { train: 6000, test: 1000 } as const;

const PIXELS = 28 * 28;
const FILE = new URL('../../assets/digits.br', import.meta.url);

/** Bytes of a part: a label and an image for each digit. */
const countPartBytes = (split: keyof typeof DIGIT_COUNTS) => DIGIT_COUNTS[split] * (1 + PIXELS);
const SIZE = countPartBytes('train') + countPartBytes('test');

/**
 * Reads the digits of a part from the bytes of the file: for each part the labels, then the images.
 *
 * @throws ShiboriError when they are damaged.
 */
export function decodeDigits(compressed: Uint8Array, split: keyof typeof DIGIT_COUNTS, file: string): Digits {
  let bytes: Uint8Array;
  try {
    bytes = brotliDecompressSync(compressed, { maxOutputLength: SIZE });
  } catch (cause) {
    throw new ShiboriError(`Reading handwritten digits from ${file}: the file is damaged. Install shibori again.`, {
      code: 'invalid-data',
      cause,
    });
  }
  if (bytes.length !== SIZE) {
    throw new ShiboriError(
      `Reading handwritten digits from ${file}: expected ${SIZE} bytes, found ${bytes.length}. Install shibori again.`,
      { code: 'invalid-data' },
    );
  }
  const count = DIGIT_COUNTS[split];
  const start = split === 'train' ? 0 : countPartBytes('train');
  const labels = bytes.subarray(start, start + count);
  return { labels, images: bytes.subarray(start + count, start + countPartBytes(split)) };
}

/**
 * Reads handwritten digits of MNIST, the first ones of its part.
 *
 * @throws ShiboriError when the file that comes with the package is missing or damaged.
 */
export async function readMnist(split: keyof typeof DIGIT_COUNTS): Promise<Digits> {
  const file = fileURLToPath(FILE);
  const compressed = await readFile(file).catch((cause: unknown) => {
    throw new ShiboriError(
      `Reading handwritten digits from ${file}: ${cause instanceof Error ? cause.message : cause}. Install shibori again.`,
      { code: 'invalid-data', cause },
    );
  });
  return decodeDigits(compressed, split, file);
}
