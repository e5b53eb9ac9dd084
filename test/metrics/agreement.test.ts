import { describe, expect, it } from 'vitest';
import {
  computeBoundedAgreement,
  correlateMaps,
  describeConstantMaps,
  formatAgreement,
  measureAgreement,
} from '../../src/metrics/agreement.js';

// Deviations of ±1: the square roots of their sums are exact.
const rising = [0, 0, 2, 2];
const falling = [2, 2, 0, 0];
const zeros = [0, 0, 0, 0];

describe('the agreement of two models’ maps', () => {
  it('is not defined where a map is constant: such images are counted apart and are no part of the mean', () => {
    const [before, after] = [
      [rising, rising, zeros, zeros],
      [rising, zeros, rising, zeros],
    ];
    expect(correlateMaps(before, after)).toEqual([1, undefined, undefined, undefined]);
    expect(measureAgreement(before, after)).toEqual({
      images: 4,
      pearson: { mean: 1, min: 1, median: 1 },
      undefined: 3,
      constantMaps: { before: 2, after: 2 },
    });
  });

  it('has no mean at all where every map is constant', () => {
    const found = measureAgreement([zeros, zeros], [zeros, [5, 5, 5, 5]]);
    expect(found).toEqual({ images: 2, pearson: null, undefined: 2, constantMaps: { before: 2, after: 2 } });
    expect(formatAgreement(found)).toBe('not defined (a constant map on each of 2 images)');
    expect(describeConstantMaps(found)).toMatch(/2 of 2 images.*before: 2, after: 2/);
    expect(JSON.parse(JSON.stringify(found)).pearson).toBeNull();
  });

  it('takes the middle of an even and of an odd number of images', () => {
    const odd = measureAgreement([rising, rising, rising], [rising, falling, rising]);
    expect(odd.pearson).toEqual({ mean: 1 / 3, min: -1, median: 1 });
    const even = measureAgreement([rising, rising], [rising, falling]);
    expect(even.pearson).toEqual({ mean: 0, min: -1, median: 0 });
    expect(describeConstantMaps(even)).toBeUndefined();
  });

  it('counts a map that only one model lost as 0 where a bound is held against it', () => {
    const lost = measureAgreement([rising, rising, zeros], [rising, zeros, zeros]);
    expect(lost.pearson?.mean).toBe(1);
    expect(computeBoundedAgreement(lost)).toBe(0.5);
    expect(computeBoundedAgreement(measureAgreement([rising], [zeros]))).toBe(0);
    expect(computeBoundedAgreement(measureAgreement([rising], [rising]))).toBe(1);
  });
});
