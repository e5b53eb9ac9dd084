import fc from 'fast-check';
import { afterAll, expect, it } from 'vitest';
import { engineProducts } from '../../src/engine/matrix-products.js';
import { nodeEngine } from '../../src/engine/node.js';
import { matrix, toDouble, toSingle } from '../../src/linalg/matrix.js';
import { plainProducts } from '../../src/linalg/products.js';
import { seeded } from '../../src/tensor/random.js';

const products = engineProducts(nodeEngine({ threads: 1 }));
afterAll(() => products.dispose());

/** Sums of at most 40 products of numbers below 1, in two orders: each addition rounds by at most 40 · 2^-53. */
const TOLERANCE = 40 * 40 * 2 ** -53;

function randomMatrix(rows: number, cols: number, seed: number) {
  const stream = seeded(seed);
  return matrix(
    rows,
    cols,
    Float64Array.from({ length: rows * cols }, () => stream.uniform(-1, 1)),
  );
}

it('multiplies as the plain loops do, transposed or not', async () => {
  const size = fc.integer({ min: 1, max: 40 });
  await fc.assert(
    fc.asyncProperty(size, size, size, fc.boolean(), fc.boolean(), async (m, k, n, transposeA, transposeB) => {
      const a = transposeA ? randomMatrix(k, m, 1) : randomMatrix(m, k, 1);
      const b = transposeB ? randomMatrix(n, k, 2) : randomMatrix(k, n, 2);
      const found = await products.multiply(a, b, { transposeA, transposeB });
      const expected = await plainProducts.multiply(a, b, { transposeA, transposeB });
      expect([found.rows, found.cols]).toEqual([m, n]);
      for (const [i, value] of expected.data.entries()) {
        expect(Math.abs((found.data[i] as number) - value)).toBeLessThanOrEqual(TOLERANCE);
      }
    }),
    { numRuns: 50 },
  );
});

/** The same in float32. */
const SINGLE_TOLERANCE = 40 * 40 * 2 ** -24;

it('multiplies in single precision', async () => {
  const size = fc.integer({ min: 1, max: 40 });
  await fc.assert(
    fc.asyncProperty(size, size, fc.boolean(), fc.boolean(), async (m, n, transposeA, transposeB) => {
      const a = toSingle(transposeA ? randomMatrix(40, m, 3) : randomMatrix(m, 40, 3));
      const b = toSingle(transposeB ? randomMatrix(n, 40, 4) : randomMatrix(40, n, 4));
      const found = await products.multiplySingle(a, b, { transposeA, transposeB });
      const expected = await plainProducts.multiply(toDouble(a), toDouble(b), { transposeA, transposeB });
      expect([found.rows, found.cols]).toEqual([m, n]);
      for (const [i, value] of expected.data.entries()) {
        expect(Math.abs((found.data[i] as number) - value)).toBeLessThanOrEqual(SINGLE_TOLERANCE);
      }
    }),
    { numRuns: 50 },
  );
  const wrong = toSingle(matrix(17, 2));
  await expect(products.multiplySingle(wrong, wrong, {})).rejects.toThrow(/expected \[17, 2\] times \[2, n\]/);
});

it('refuses matrices that do not fit together', async () => {
  await expect(products.multiply(matrix(2, 3), matrix(2, 3), {})).rejects.toThrow(/expected \[2, 3\] times \[3, n\]/);
});

it('works again after it was disposed of', async () => {
  await products.dispose();
  const { data } = await products.multiply(matrix(1, 1, Float64Array.of(3)), matrix(1, 1, Float64Array.of(5)), {});
  expect([...data]).toEqual([15]);
});
