import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seeded } from '../../src/tensor/random.js';
import { fillDropoutMask } from '../../src/train/dropout-mask.js';
import {
  addToAverage,
  addWeighted,
  areFinite,
  clampAndSumSquares,
  computeNormScale,
  computeSquaredNorm,
} from '../../src/train/gradients.js';
import { computeDecay } from '../../src/train/step-settings.js';
import { findLargestDifference } from '../support/differences.js';
import { golden } from './golden.js';

/** One rounding of float32 at numbers below 4, in either computation. */
const ROUNDING = 1e-6;

const finite = fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { maxLength: 11 });

describe('sumOfSquares', () => {
  it('is finite exactly where all numbers are, up to the largest', () => {
    fc.assert(fc.property(finite, (values) => areFinite(Float32Array.from(values))));
    const bad = fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY);
    fc.assert(
      fc.property(finite, bad, fc.nat(), (values, wrong, at) => {
        const all = [...values];
        all.splice(at % (all.length + 1), 0, wrong);
        return !areFinite(Float32Array.from(all));
      }),
    );
    expect(areFinite(new Float32Array(9).fill(3.4e38))).toBe(true);
  });

  it('sums', () => {
    expect(computeSquaredNorm(Float32Array.of(1, 2, 3, 4, 5, 6))).toBe(91);
    expect(computeSquaredNorm(new Float32Array())).toBe(0);
  });
});

describe('clipping', () => {
  it.each([golden.clipping.norm, golden.clipping.within])(
    'by norm $limit is clip_grad_norm_',
    ({ limit, before, after }) => {
      const scale = computeNormScale(Math.sqrt(computeSquaredNorm(Float32Array.from(before.flat()))), limit);
      expect(
        findLargestDifference(
          before.flat().map((value) => value * scale),
          after.flat(),
        ),
      ).toBeLessThan(ROUNDING);
    },
  );

  it('by value is clip_grad_value_', () => {
    const { limit, before, after } = golden.clipping.value;
    const values = Float32Array.from(before.flat());
    const squares = clampAndSumSquares(values, limit);
    expect([...values]).toEqual([...Float32Array.from(after.flat())]);
    // In another order of double sums.
    expect(squares).toBeCloseTo(computeSquaredNorm(values), 12);
  });
});

describe('accumulation', () => {
  it('starts anew whatever was there, and adds shares', () => {
    const target = Float32Array.of(Number.NaN, 7);
    addWeighted(target, Float32Array.of(4, 8), 0.25, true);
    addWeighted(target, Float32Array.of(4, 8), 0.75, false);
    expect([...target]).toEqual([4, 8]);
  });
});

describe('moving averages', () => {
  it.each(golden.averaging)("are AveragedModel's at a decay of $decay, warm-up $warmUp", (expected) => {
    const { decay, warmUp, start, weights, averages } = expected;
    const average = Float32Array.from(start);
    weights.forEach((values, i) => {
      addToAverage(average, Float32Array.from(values), computeDecay({ decay, warmUp }, i + 1));
      expect(findLargestDifference(average, averages[i] ?? [])).toBeLessThan(ROUNDING);
    });
  });
});

describe('fillDropoutMask', () => {
  const COUNT = 200_000;
  it.each([0.5, 0.25, 0.1, 0.3, 0.9, 1 / 512, 1 / 3])('drops a share of %d, and scales the rest', (ratio) => {
    const mask = new Float32Array(COUNT);
    fillDropoutMask(mask, ratio, seeded(1, 2));
    const dropped = mask.filter((value) => value === 0).length;
    // Five deviations of the binomial distribution; the stream is always the same one.
    expect(Math.abs(dropped - ratio * COUNT)).toBeLessThan(5 * Math.sqrt(COUNT * ratio * (1 - ratio)));
    expect(new Set(mask)).toEqual(new Set([0, Math.fround(1 / (1 - ratio))]));
    // Neighbours are independent: of pairs both are dropped as often as chance has it.
    let pairs = 0;
    for (let i = 1; i < COUNT; i++) if (mask[i] === 0 && mask[i - 1] === 0) pairs++;
    expect(Math.abs(pairs / COUNT - ratio ** 2)).toBeLessThan(5 * Math.sqrt(ratio ** 2 / COUNT) + 1e-4);
  });

  it('is the same for the same stream', () => {
    const [a, b, c] = [new Float32Array(100), new Float32Array(100), new Float32Array(100)];
    fillDropoutMask(a, 0.3, seeded(5));
    fillDropoutMask(b, 0.3, seeded(5));
    fillDropoutMask(c, 0.3, seeded(6));
    expect(a).toEqual(b);
    expect(a).not.toEqual(c);
  });
});
