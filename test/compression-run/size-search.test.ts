import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findSmallestHolding } from '../../src/compression-run/size-search.js';

describe('findSmallestHolding', () => {
  it('comes near the smallest amount that holds, and returns only what was seen to hold', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 200, max: 90_000 }), async (least) => {
        const { best, trials } = await findSmallestHolding(
          100,
          100_000,
          [],
          12,
          async (amount) => amount,
          (amount) => Math.log(least / amount),
        );
        expect(trials.length).toBeLessThanOrEqual(12);
        expect(best?.result).toBeGreaterThanOrEqual(least);
        // Searching stops at 5 %; amounts are whole numbers.
        expect(best?.amount).toBeLessThanOrEqual(1.05 * least + 1);
      }),
    );
  });

  it('needs few looks where the loss is near to a line', async () => {
    const least = 31_000;
    const { best } = await findSmallestHolding(
      100,
      100_000,
      [],
      4,
      async (amount) => amount,
      (amount) => 3 * Math.log(least / amount),
    );
    // Halving alone would be within (100000 / 100) ^ (1 / 16) = 1.54.
    expect(best?.amount).toBeLessThanOrEqual(1.1 * least);
  });

  it('begins between amounts that are known, which cost no look', async () => {
    const least = 31_000;
    const { best, trials } = await findSmallestHolding(
      100,
      100_000,
      [20_000, 50_000, 60_000, 10_000],
      2,
      async (amount) => amount,
      (amount) => 3 * Math.log(least / amount),
    );
    expect(trials.slice(0, 2).map(({ amount, holds }) => [amount, holds])).toEqual([
      [50_000, true],
      [20_000, false],
    ]);
    expect(trials).toHaveLength(4);
    expect(best?.amount).toBeLessThanOrEqual(1.05 * least);
  });

  it('does not look far below the smallest that holds while nothing smaller was seen', async () => {
    const { trials } = await findSmallestHolding(
      100,
      100_000,
      [6_000],
      1,
      async (amount) => amount,
      (amount) => 3 * Math.log(3_000 / amount),
    );
    // The middle of what is left would be 775.
    expect(trials.map(({ amount, holds }) => [amount, holds])).toEqual([
      [6_000, true],
      [3_750, true],
    ]);
  });

  it('does not look far above one that nearly holds while nothing larger was seen', async () => {
    const { trials } = await findSmallestHolding(
      100,
      100_000,
      [6_000],
      1,
      async (amount) => amount,
      (amount) => Math.log(8_000 / amount),
    );
    expect(trials.map(({ amount, holds }) => [amount, holds])).toEqual([
      [6_000, false],
      [9_600, true],
    ]);
  });

  it('takes what cannot be made for too small, and finds nothing where nothing holds', async () => {
    const made = await findSmallestHolding(
      1,
      10_000,
      [],
      20,
      async (amount) => (amount < 50 ? undefined : amount),
      () => -1,
    );
    expect(made.best?.amount).toBeGreaterThanOrEqual(50);
    expect(made.best?.amount).toBeLessThanOrEqual(53);
    const none = await findSmallestHolding(
      1,
      10_000,
      [],
      4,
      async (amount) => amount,
      () => 1,
    );
    expect(none.best).toBeUndefined();
    expect(none.trials).toHaveLength(4);
  });
});
