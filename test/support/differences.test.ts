import { describe, expect, it } from 'vitest';
import { findLargestDifference } from './differences.js';

describe('findLargestDifference', () => {
  it.each([
    ['the first', [3, 1, 1], [1, 1, 1], 2],
    ['the last', [1, 1, -4], [1, 1, 1], 5],
    ['none', [1, 2, 3], [1, 2, 3], 0],
    ['infinite', [1, Number.POSITIVE_INFINITY, 3], [1, 2, 3], Number.POSITIVE_INFINITY],
  ])('finds the largest: %s', (_, a, b, expected) => {
    expect(findLargestDifference(a, b)).toBe(expected);
    expect(findLargestDifference(b, a)).toBe(expected);
  });

  it.each([0, 1, 2])('stays NaN where element %i is NaN, whatever follows', (place) => {
    const broken = [1, 2, 3].map((value, i) => (i === place ? Number.NaN : value));
    expect(findLargestDifference(broken, [1, 2, 3])).toBeNaN();
    expect(findLargestDifference([1, 2, 9], broken)).toBeNaN();
    expect(findLargestDifference(broken, broken)).toBeNaN();
  });

  it('compares whole numbers of 64 bits', () => {
    expect(findLargestDifference(BigInt64Array.of(5n, -7n), [5, -4])).toBe(3);
  });

  it('is 0 for no elements', () => expect(findLargestDifference([], [])).toBe(0));

  it('refuses unequal lengths', () => {
    expect(() => findLargestDifference([1, 2], [1])).toThrow(new RangeError('2 elements are compared with 1'));
    expect(() => findLargestDifference([], [1])).toThrow(RangeError);
  });
});
