import { describe, expect, it } from 'vitest';
import { compareLatencies, isSameSpeed, median } from '../../src/metrics/speed.js';
import { describeSpeed, formatMilliseconds } from '../../src/report/comparison.js';
import { seeded } from '../../src/tensor/random.js';

/** Normal noise by Box and Muller. */
function noisy(stream: ReturnType<typeof seeded>, mean: number, deviation: number): number {
  const radius = Math.sqrt(-2 * Math.log(1 - stream.uniform()));
  return mean + deviation * radius * Math.cos(2 * Math.PI * stream.uniform());
}

describe('the speed of two models', () => {
  it('the median of an even count is the mean of the two in the middle, of nothing NaN', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(median([])).toBeNaN();
  });

  it('the ratio is that of the two medians, also where the median of the paired ratios is another', () => {
    // Paired ratios 2, 1.2, 0.5: their median is 1.2; the medians are 100 and 110.
    const found = compareLatencies([
      [60, 120],
      [100, 110],
      [200, 100],
    ]);
    expect(found).toMatchObject({ before: 100, after: 110, ratio: 1.1 });
  });

  it('the interval holds the true ratio in about 95 of 100 measurements, and never lies beside the ratio', () => {
    let holds = 0;
    let sides = 0;
    const trials = 200;
    for (let trial = 0; trial < trials; trial++) {
      const stream = seeded(7, trial);
      const pairs = Array.from({ length: 30 }, () => [noisy(stream, 10, 1), noisy(stream, 12, 1)] as const);
      const { ratio, interval } = compareLatencies(pairs);
      if (interval[0] <= 1.2 && interval[1] >= 1.2) holds++;
      if (ratio < interval[0] || ratio > interval[1]) sides++;
    }
    // Three standard deviations of a count of 200 at 95 % are 9; the bootstrap of a median is a little wide.
    expect(holds).toBeGreaterThanOrEqual(181);
    expect(sides).toBe(0);
  });

  it('a drift of the machine that slows both runs of a pair is no difference', () => {
    const stream = seeded(3);
    const pairs = Array.from({ length: 60 }, (_, i) => {
      const drift = 1 + i / 60;
      return [noisy(stream, 10, 0.1) * drift, noisy(stream, 10, 0.1) * drift] as const;
    });
    expect(isSameSpeed(compareLatencies(pairs).interval)).toBe(true);
  });

  it('the same runs always give the same interval', () => {
    const pairs = Array.from({ length: 9 }, (_, i) => [10 + i, 11 + ((3 * i) % 7)] as const);
    expect(compareLatencies(pairs)).toEqual(compareLatencies(pairs));
  });

  it('no run at all is an error', () => {
    expect(() => compareLatencies([])).toThrow('expected at least one run of each model, found none');
  });

  it('is called no difference where the interval contains 1, and otherwise by the ratio of the medians', () => {
    expect(describeSpeed({ ratio: 1803 / 1795, ratioInterval: [0.98, 1.03] })).toBe(
      'no difference (95 % interval 0.97x to 1.02x)',
    );
    expect(describeSpeed({ ratio: 0.8, ratioInterval: [0.75, 0.9] })).toBe(
      '1.25x the speed (95 % interval 1.11x to 1.33x)',
    );
    expect([formatMilliseconds(0.01234), formatMilliseconds(1795.123)]).toEqual(['0.0123 ms', '1795.12 ms']);
  });
});
