import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Matrix, matrix } from '../../src/linalg/matrix.js';
import { type MatrixProducts, plainProducts } from '../../src/linalg/products.js';
import { qr } from '../../src/linalg/qr.js';
import { computeRandomizedSpectrum } from '../../src/linalg/spectrum.js';
import { splitOrthogonally, truncatedSvd } from '../../src/linalg/truncated-svd.js';
import {
  distance,
  expectDescending,
  expectOrthonormal,
  GRAM,
  golden,
  naiveProduct,
  norm,
  ROUNDING,
  randomMatrix,
} from './support.js';

/** U diag(σ) Vᵀ. */
function rebuild({ u, singularValues, v }: { u: Matrix; singularValues: Float64Array; v: Matrix }): Float64Array {
  const scaled = matrix(
    u.rows,
    u.cols,
    u.data.map((value, at) => value * (singularValues[at % u.cols] ?? 0)),
  );
  return naiveProduct(scaled, v, false, true).data;
}

/** A matrix with these singular values. */
function withSpectrum(rows: number, cols: number, spectrum: readonly number[], seed = 1): Matrix {
  const { q: u } = qr(randomMatrix(rows, spectrum.length, seed, 0));
  const { q: v } = qr(randomMatrix(cols, spectrum.length, seed, 1));
  return matrix(rows, cols, rebuild({ u, singularValues: Float64Array.from(spectrum), v }));
}

const shape = fc.record({
  rows: fc.integer({ min: 1, max: 24 }),
  cols: fc.integer({ min: 1, max: 24 }),
  trueRank: fc.integer({ min: 0, max: 24 }),
  seed: fc.nat(),
});
type Shape = { rows: number; cols: number; trueRank: number; seed: number };

function matrixOf({ rows, cols, trueRank, seed }: Shape): Matrix {
  if (trueRank === 0) return matrix(rows, cols);
  return naiveProduct(randomMatrix(rows, trueRank, seed, 0), randomMatrix(trueRank, cols, seed, 1));
}

describe('truncatedSvd', () => {
  it.each(golden.matrices)('finds the singular values that LAPACK finds: $name', async (expected) => {
    const a = matrix(expected.rows, expected.cols, Float64Array.from(expected.values));
    const { u, singularValues } = await truncatedSvd(a, {}, plainProducts);
    const largest = expected.singularValues[0] ?? 0;
    expect(distance(singularValues, expected.singularValues)).toBeLessThan(GRAM * largest);
    // Where singular values are not tiny, far more digits survive.
    for (const [i, value] of expected.singularValues.entries()) {
      if (value > 1e-3 * largest) expect(Math.abs((singularValues[i] ?? 0) - value)).toBeLessThan(ROUNDING * largest);
    }
    const first = Array.from({ length: u.rows }, (_, i) => u.data[i * u.cols] ?? 0);
    expect(distance(first, expected.firstLeft)).toBeLessThan(1e-9);
  });

  it('is exact without truncation and best possible with it, for every shape and rank', async () => {
    await fc.assert(
      fc.asyncProperty(shape, fc.integer({ min: 1, max: 30 }), async (sizes, rank) => {
        const a = matrixOf(sizes);
        const before = a.data.slice();
        const scale = norm(a.data);
        const full = await truncatedSvd(a, {}, plainProducts);
        expect(distance(rebuild(full), a.data)).toBeLessThanOrEqual(GRAM * scale);
        expect(full.discarded).toBe(0);

        const cut = await truncatedSvd(a, { rank }, plainProducts);
        const kept = Math.min(rank, a.rows, a.cols);
        expect([cut.u.cols, cut.singularValues.length, cut.v.cols]).toEqual([kept, kept, kept]);
        expectDescending(cut.singularValues);
        expectOrthonormal(cut.u, GRAM);
        expectOrthonormal(cut.v, GRAM);
        // Eckart and Young: the error is what the discarded singular values say.
        const tail = norm(full.singularValues.slice(kept));
        expect(Math.abs(distance(rebuild(cut), a.data) - tail)).toBeLessThanOrEqual(GRAM * scale);
        expect(Math.abs(cut.discarded - tail)).toBeLessThanOrEqual(GRAM * scale);
        expect(a.data).toEqual(before);
      }),
      { numRuns: 80 },
    );
  });

  it('keeps just enough for a tolerance', async () => {
    const a = withSpectrum(12, 30, [8, 4, 2, 1, 0.5]);
    const total = norm([8, 4, 2, 1, 0.5]);
    const ranks: number[] = [];
    for (const lost of [[4, 2, 1, 0.5], [2, 1, 0.5], [1, 0.5], [0.5]]) {
      const exactly = norm(lost) / total;
      const { singularValues, discarded } = await truncatedSvd(a, { tolerance: exactly * 1.1 }, plainProducts);
      ranks.push(singularValues.length);
      expect(Math.abs(discarded - norm(lost))).toBeLessThan(GRAM * total);
      expect((await truncatedSvd(a, { tolerance: exactly * 0.9999 }, plainProducts)).singularValues.length).toBe(
        singularValues.length + 1,
      );
    }
    expect(ranks).toEqual([1, 2, 3, 4]);
    expect((await truncatedSvd(a, { tolerance: 1 }, plainProducts)).singularValues.length).toBe(1);
    expect((await truncatedSvd(a, { tolerance: 0.3, rank: 1 }, plainProducts)).singularValues.length).toBe(1);
  });

  it.each([
    [20, 40],
    [40, 20],
  ])('stays orthonormal and accurate over twelve orders of magnitude, %i×%i', async (rows, cols) => {
    const spectrum = Array.from({ length: 13 }, (_, i) => 10 ** -i);
    const a = withSpectrum(rows, cols, spectrum);
    const svd = await truncatedSvd(a, { rank: 13 }, plainProducts);
    expectOrthonormal(svd.u, GRAM);
    expectOrthonormal(svd.v, GRAM);
    expect(distance(rebuild(svd), a.data)).toBeLessThan(GRAM);
    for (let i = 0; i <= 5; i++) {
      expect(Math.abs((svd.singularValues[i] ?? 0) / (spectrum[i] ?? 1) - 1)).toBeLessThan(1e-6);
    }
  });

  it('refuses what it cannot do', async () => {
    const a = randomMatrix(3, 4, 1);
    await expect(truncatedSvd(a, { rank: 0 }, plainProducts)).rejects.toThrow(/positive integer, found 0/);
    await expect(truncatedSvd(a, { rank: 1.5 }, plainProducts)).rejects.toThrow(/positive integer, found 1.5/);
    await expect(truncatedSvd(a, { tolerance: -1 }, plainProducts)).rejects.toThrow(/between 0 and 1, found -1/);
    a.data[5] = Number.NaN;
    await expect(truncatedSvd(a, {}, plainProducts)).rejects.toThrow(/NaN or infinite/);
  });
});

describe('orthogonalSplit', () => {
  it('makes an orthonormal left factor and loses nothing without truncation, at any rank', async () => {
    await fc.assert(
      fc.asyncProperty(shape, async (sizes) => {
        const a = matrixOf(sizes);
        const { left, right } = await splitOrthogonally(a, {}, plainProducts);
        expectOrthonormal(left, GRAM);
        expect(distance(naiveProduct(left, right).data, a.data)).toBeLessThanOrEqual(ROUNDING * (1 + norm(a.data)));
      }),
      { numRuns: 80 },
    );
  });
});

describe('randomizedSpectrum', () => {
  it.each([
    [60, 200],
    [200, 60],
  ])('finds the leading directions of a decaying spectrum, %i×%i', async (rows, cols) => {
    const spectrum = Array.from({ length: 60 }, (_, i) => 1 / (1 + i));
    const a = withSpectrum(rows, cols, spectrum);
    const { directions, energies, restEnergy: rest } = await computeRandomizedSpectrum(a, 20, plainProducts);
    expectOrthonormal(directions, ROUNDING);
    for (let i = 0; i < 10; i++) {
      // Ten directions more than these ten and two iterations: the leading values are within a thousandth.
      expect(Math.abs(Math.sqrt(energies[i] ?? 0) / (spectrum[i] ?? 1) - 1)).toBeLessThan(1e-3);
    }
    const total = energies.reduce((sum, energy) => sum + energy, rest);
    expect(Math.abs(total - norm(spectrum) ** 2)).toBeLessThan(ROUNDING * 10);
    // No directions of that number leave less, and these leave hardly more.
    const least = norm(spectrum.slice(energies.length)) ** 2;
    expect(rest / least).toBeGreaterThan(1 - ROUNDING);
    expect(rest / least).toBeLessThan(1.1);
    expect((await computeRandomizedSpectrum(a, 20, plainProducts)).energies).toEqual(energies);
  });

  it('is what truncatedSvd uses for large matrices, with no product as large as the full problem', async () => {
    const a = withSpectrum(1010, 1030, [5, 3, 2, 1e-3]);
    const inner: number[] = [];
    const watched: MatrixProducts = {
      ...plainProducts,
      multiply: (left, right, options) => {
        const result = plainProducts.multiply(left, right, options);
        inner.push(Math.min(left.rows, left.cols, right.rows, right.cols));
        return result;
      },
    };
    const { u, singularValues, v, discarded } = await truncatedSvd(a, { rank: 3 }, watched);
    expect(Math.max(...inner)).toBeLessThan(50);
    expect(distance(singularValues, [5, 3, 2])).toBeLessThan(GRAM);
    expect(Math.abs(discarded - 1e-3)).toBeLessThan(1e-5);
    expectOrthonormal(u, GRAM);
    expectOrthonormal(v, GRAM);
  });
});
