import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { matrix } from '../../src/linalg/matrix.js';
import { qr } from '../../src/linalg/qr.js';
import { distance, expectOrthonormal, naiveProduct, norm, ROUNDING, randomMatrix } from './support.js';

describe('qr', () => {
  it('factorises every tall matrix, also one whose columns depend on each other', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 0, max: 20 }),
        fc.integer({ min: 0, max: 12 }),
        fc.nat(),
        (cols, more, rank, seed) => {
          const rows = cols + more;
          const a =
            rank === 0
              ? matrix(rows, cols)
              : naiveProduct(randomMatrix(rows, rank, seed, 0), randomMatrix(rank, cols, seed, 1));
          const before = a.data.slice();
          const { q, r } = qr(a);
          expect([q.rows, q.cols, r.rows, r.cols]).toEqual([rows, cols, cols, cols]);
          expectOrthonormal(q, ROUNDING);
          expect(distance(naiveProduct(q, r).data, a.data)).toBeLessThanOrEqual(ROUNDING * (1 + norm(a.data)));
          for (let i = 0; i < cols; i++) {
            expect(r.data[i * cols + i]).toBeGreaterThanOrEqual(0);
            for (let j = 0; j < i; j++) expect(Math.abs(r.data[i * cols + j] ?? Number.NaN)).toBe(0);
          }
          expect(a.data).toEqual(before);
        },
      ),
      { numRuns: 100 },
    );
  });

  it('refuses a wide matrix', () => {
    expect(() => qr(matrix(2, 3))).toThrow(/at least as many rows as columns, found 2×3/);
  });
});
