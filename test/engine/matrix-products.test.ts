import fc from 'fast-check';
import { afterAll, expect, it } from 'vitest';
import { engineProducts } from '../../src/engine/matrix-products.js';
import { nodeEngine } from '../../src/engine/node.js';
import { matrix } from '../../src/linalg/matrix.js';
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

/** The same in float32, operands rounded before: 2^-24 each. */
const SINGLE_TOLERANCE = 40 * 42 * 2 ** -24;

it('multiplies one matrix by many in single precision', async () => {
  const a = randomMatrix(17, 40, 3);
  const times = products.multiplier(a);
  for (const cols of [1, 9]) {
    const b = randomMatrix(40, cols, cols);
    const found = await times(b);
    const expected = await plainProducts.multiplier(a)(b);
    expect([found.rows, found.cols]).toEqual([17, cols]);
    for (const [i, value] of expected.data.entries()) {
      expect(Math.abs((found.data[i] as number) - value)).toBeLessThanOrEqual(SINGLE_TOLERANCE);
    }
  }
  await expect(times(matrix(17, 2))).rejects.toThrow(/expected \[17, 40\] times \[40, n\]/);
});

it('refuses matrices that do not fit together', async () => {
  await expect(products.multiply(matrix(2, 3), matrix(2, 3), {})).rejects.toThrow(/expected \[2, 3\] times \[3, n\]/);
});

it('works again after it was disposed of', async () => {
  await products.dispose();
  const { data } = await products.multiply(matrix(1, 1, Float64Array.of(3)), matrix(1, 1, Float64Array.of(5)), {});
  expect([...data]).toEqual([15]);
});
