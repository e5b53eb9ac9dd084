import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseGoal, parseSchemes } from '../../src/compression-run/compression-plan.js';
import { findSmallestHolding } from '../../src/compression-run/size-search.js';

describe('goalOf', () => {
  it.each([
    [{ params: '10%' }, { kind: 'params', most: { share: 0.1 } }],
    [{ params: '2.8M' }, { kind: 'params', most: { amount: 2_800_000 } }],
    [{ params: '150,000' }, { kind: 'params', most: { amount: 150_000 } }],
    [{ size: '4MB' }, { kind: 'size', most: { amount: 4_000_000 } }],
    [{ size: '2 MiB' }, { kind: 'size', most: { amount: 2 ** 21 } }],
    [{ macs: '1.2G' }, { kind: 'macs', most: { amount: 1.2e9 } }],
    [{ maxAccuracyDrop: '0.5' }, { kind: 'accuracyDrop', most: 0.5 }],
    [{ maxError: '1%' }, { kind: 'error', most: 0.01 }],
    [{ maxError: '0.01' }, { kind: 'error', most: 0.01 }],
  ])('reads %j', (texts, goal) => {
    expect(parseGoal(texts)).toEqual(goal);
  });

  it.each([
    [{}, 'needs a goal: exactly one of `parameters`, `size`, `macs`, `maxAccuracyDrop`, `maxError`'],
    [{ params: '10%', maxError: '1%' }, '`parameters` and `maxError`: compress takes exactly one goal'],
    [{ params: '0%' }, 'between 0 % and 100 %'],
    [{ params: '100%' }, 'between 0 % and 100 %'],
    [{ params: 'ten' }, 'no amount'],
    [{ params: '3MB' }, '"mb" is no unit'],
    [{ size: '4' }, 'needs a unit'],
    [{ maxError: '5' }, 'above 0 and below 1'],
    [{ maxAccuracyDrop: '-1' }, 'points of top-1'],
  ])('refuses %j', (texts, message) => {
    expect(() => parseGoal(texts)).toThrow(message);
  });
});

describe('schemesNamed', () => {
  it('suggests what a typo meant', () => {
    expect(parseSchemes(['svd', 'tt-conv'])).toEqual(['svd', 'tt-conv']);
    expect(() => parseSchemes(['tuker2'])).toThrow('Did you mean "tucker2"?');
    expect(() => parseSchemes([])).toThrow('at least one of');
  });
});

describe('smallestHolding', () => {
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
