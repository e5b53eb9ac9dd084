import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { identity, isIdentity, matrix, transpose } from '../../src/linalg/matrix.js';
import { plainProducts } from '../../src/linalg/products.js';
import { distance, naiveProduct, ROUNDING, randomMatrix } from './support.js';

// Sizes around the tile (64), the depth (256) and the 2 × 4 kernel.
const size = fc.oneof(fc.integer({ min: 1, max: 9 }), fc.constantFrom(63, 64, 65, 130));
const depthSize = fc.oneof(fc.integer({ min: 1, max: 9 }), fc.constantFrom(255, 256, 257, 513));

describe('plain matrix products', () => {
  it('equal the definition for every size and transposition', async () => {
    await fc.assert(
      fc.asyncProperty(size, depthSize, size, fc.boolean(), fc.boolean(), async (m, k, n, transposeA, transposeB) => {
        const a = transposeA ? randomMatrix(k, m, 1) : randomMatrix(m, k, 1);
        const b = transposeB ? randomMatrix(n, k, 2) : randomMatrix(k, n, 2);
        const found = await plainProducts.multiply(a, b, { transposeA, transposeB });
        expect([found.rows, found.cols]).toEqual([m, n]);
        expect(distance(found.data, naiveProduct(a, b, transposeA, transposeB).data)).toBeLessThan(ROUNDING * k * 10);
      }),
      { numRuns: 60 },
    );
  });

  it('mirror the triangle of a matrix times its own transpose', async () => {
    for (const [rows, cols] of [
      [70, 300],
      [131, 7],
      [1, 5],
    ] as const) {
      const a = randomMatrix(rows, cols, rows);
      const outer = await plainProducts.multiply(a, a, { transposeB: true });
      expect(distance(outer.data, naiveProduct(a, a, false, true).data)).toBeLessThan(ROUNDING * cols * 10);
      const inner = await plainProducts.multiply(a, a, { transposeA: true });
      expect(distance(inner.data, naiveProduct(a, a, true).data)).toBeLessThan(ROUNDING * rows * 10);
      expect(transpose(inner).data).toEqual(inner.data);
    }
  });

  it('refuse operands that do not fit', async () => {
    await expect(plainProducts.multiply(matrix(2, 3), matrix(2, 3), {})).rejects.toThrow(
      /expected \[2, 3\] times \[3, n\], found a right side \[2, 3\]/,
    );
  });
});

describe('matrices', () => {
  it('check the number of their elements', () => {
    expect(() => matrix(2, 3, new Float64Array(5))).toThrow(/2×3 matrix needs 6 elements, found 5/);
  });

  it('know the identity and nothing near it', () => {
    expect(isIdentity(identity(5))).toBe(true);
    const almost = identity(5);
    almost.data[7] = 1e-300;
    expect(isIdentity(almost)).toBe(false);
    expect(isIdentity(matrix(1, 2, Float64Array.of(1, 0)))).toBe(false);
  });
});
