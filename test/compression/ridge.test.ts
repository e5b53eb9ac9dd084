import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Samples } from '../../src/compression/statistics/layer-samples.js';
import { getMostSamples, prepareRidgeRegression } from '../../src/compression/statistics/ridge-regression.js';
import { addToDiagonal } from '../../src/compression/statistics/second-moment-matrix.js';
import { type Matrix, matrix, toDouble, toSingle } from '../../src/linalg/matrix.js';
import { plainProducts } from '../../src/linalg/products.js';
import { naiveProduct, randomMatrix } from '../linalg/support.js';
import { minus } from './support.js';

/** Sums of up to a hundred float32 products of numbers near one, through a system with a condition of about a hundred. */
const FLOAT32_ROUNDING = 1e-4;

const largest = ({ data }: Matrix): number => data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

describe('a regression on samples', () => {
  it('solves (X Xᵀ / S + damping + pull) A = B, whether there are more samples than inputs or fewer', async () => {
    const size = fc.integer({ min: 1, max: 30 });
    await fc.assert(
      fc.asyncProperty(size, size, fc.integer({ min: 1, max: 4 }), async (inputs, count, outputs) => {
        const x: Samples = { columns: toSingle(randomMatrix(inputs, count, 1)), mean: new Float64Array(inputs) };
        const damping = Float64Array.from({ length: inputs }, (_, i) => 0.1 + i / inputs);
        const right = randomMatrix(inputs, outputs, 2);
        const { secondMoments: moments, solve } = await prepareRidgeRegression(x, damping, 0.3, plainProducts);
        const all = toDouble(x.columns);
        const sum = naiveProduct(all, all, false, true);
        const mean = matrix(
          inputs,
          inputs,
          sum.data.map((value) => value / count),
        );
        const gram = addToDiagonal(mean, damping);
        expect(largest(minus(await moments.computeMatrix(), gram))).toBeLessThan(FLOAT32_ROUNDING);
        const whole = addToDiagonal(
          gram,
          damping.map(() => 0.3),
        );
        const again = naiveProduct(whole, await solve(right));
        expect(largest(minus(again, right))).toBeLessThan(FLOAT32_ROUNDING);
      }),
      { numRuns: 60 },
    );
  });

  it('takes a bounded number of samples where there are very many inputs', () => {
    expect(getMostSamples(25_088)).toBeLessThan(25_088);
    expect(getMostSamples(4608)).toBe(Number.POSITIVE_INFINITY);
  });
});
