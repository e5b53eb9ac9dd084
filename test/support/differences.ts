/**
 * Returns the largest absolute difference between elements at the same place, 0 for none. It is NaN where any
 * difference is: `expect(…).toBeLessThan(…)` then fails.
 *
 * @throws RangeError for unequal lengths.
 */
export function findLargestDifference(a: ArrayLike<number | bigint>, b: ArrayLike<number | bigint>): number {
  if (a.length !== b.length) throw new RangeError(`${a.length} elements are compared with ${b.length}`);
  let largest = 0;
  // `Math.max` returns NaN once one of its arguments is NaN.
  for (let i = 0; i < a.length; i++) largest = Math.max(largest, Math.abs(Number(a[i]) - Number(b[i])));
  return largest;
}
