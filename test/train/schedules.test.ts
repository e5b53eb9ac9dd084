import { describe, expect, it } from 'vitest';
import { requireRow } from '../../src/train/named-options.js';
import { constant, cyclic, oneCycle, schedules, warmUp } from '../../src/train/schedules.js';
import { findLargestDifference } from '../support/differences.js';
import { golden } from './golden.js';

/** PyTorch goes on from the rate before, which rounds a little more at each of the 30 steps; rates are 0.3 at most. */
const ROUNDING = 1e-14;

describe('schedules', () => {
  it.each(golden.schedules)('$name gives the rates of PyTorch with $options, warm-up $warmUp', (expected) => {
    const { name, options, learningRate, rates } = expected;
    const alone = requireRow('schedule', schedules, name).create(options, learningRate, rates.length);
    const schedule = expected.warmUp ? warmUp(alone, expected.warmUp) : alone;
    expect(
      findLargestDifference(
        rates.map((_, step) => schedule(step)),
        rates,
      ),
    ).toBeLessThan(ROUNDING);
  });

  it('all have a case of PyTorch', () => {
    expect(new Set(golden.schedules.map(({ name }) => name))).toEqual(new Set(Object.keys(schedules)));
  });

  it('triangular2 is the default, and halves each cycle', () => {
    const schedule = cyclic({ base: 1, max: 3, stepSizeUp: 4 });
    expect([0, 4, 8, 12, 20].map(schedule)).toEqual([1, 3, 1, 2, 1.5]);
  });

  it('one cycle stays at its end', () => {
    const schedule = oneCycle({ max: 1, steps: 10 });
    expect(schedule(9)).toBeCloseTo(1 / 25 / 1e4, 15);
    expect(schedule(12)).toBe(schedule(9));
  });

  it('constant stays', () => {
    expect([0, 1000].map(constant(0.01))).toEqual([0.01, 0.01]);
  });

  it('refuse a learning rate that is not theirs', () => {
    expect(() => schedules.cosine?.create({}, [0.1, 0.2], 10)).toThrow(/cosine takes one learning rate, found base/);
    expect(() => schedules.triangular?.create({}, 0.1, 10)).toThrow(/triangular takes a base and a peak/);
  });
});
