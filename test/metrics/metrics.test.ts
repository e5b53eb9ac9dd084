import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addCounts,
  computeAccuracy,
  computePredictedClasses,
  countAccuracy,
  NO_IMAGES,
} from '../../src/metrics/accuracy.js';
import { pearson } from '../../src/metrics/pearson.js';
import { findPeak, pointingGame } from '../../src/metrics/pointing-game.js';
import { float32, zeros } from '../../src/tensor/tensor.js';

const finite = fc.float({ noNaN: true, noDefaultInfinity: true, min: -100, max: 100 });

describe('accuracy', () => {
  // torch: (-x.gather(1, y[:, None])).mean(), x.topk(1), x.topk(5) on these rows.
  const scores = float32([-0.5, -2, -3, -4, -5, -6, -7, -1, -2, -3, -4, -5, -0.1, -9], [2, 7]);

  it('counts the first and the first five, and averages the loss', () => {
    const accuracy = computeAccuracy(countAccuracy(scores, [0, 4]));
    expect(accuracy).toEqual({ images: 2, top1Correct: 1, top5Correct: 1, top1: 50, top5: 50, nll: (0.5 + 5) / 2 });
    expect(countAccuracy(scores, [4, 3])).toMatchObject({ top1Correct: 0, top5Correct: 2 });
  });

  it('gives a tie to the lower class, so that a model that says nothing scores one in K', () => {
    const same = zeros('float32', [10, 10]);
    const counts = countAccuracy(same, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(counts).toMatchObject({ top1Correct: 1, top5Correct: 5 });
    expect([...computePredictedClasses(same)]).toEqual(new Array(10).fill(0));
  });

  it('adds up over batches', () => {
    const batch = fc.array(fc.tuple(finite, finite, finite, fc.nat(2)), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(batch, batch, (first, second) => {
        const count = (rows: typeof first) =>
          countAccuracy(
            float32(
              rows.flatMap((row) => row.slice(0, 3)),
              [rows.length, 3],
            ),
            rows.map((row) => row[3]),
          );
        const parts = addCounts(addCounts(NO_IMAGES, count(first)), count(second));
        const whole = count([...first, ...second]);
        expect(parts).toMatchObject({
          images: whole.images,
          top1Correct: whole.top1Correct,
          top5Correct: whole.images,
        });
        // Of the terms, which may cancel each other: sums of at most 16 in float64.
        const terms = [...first, ...second].reduce((sum, row) => sum + Math.abs(row[row[3]] ?? Number.NaN), 0);
        expect(Math.abs(parts.nllSum - whole.nllSum)).toBeLessThanOrEqual(1e-14 * terms);
      }),
    );
  });

  it('agrees with predictedClasses', () => {
    const predicted = computePredictedClasses(scores);
    expect([...predicted]).toEqual([0, 5]);
    expect(countAccuracy(scores, predicted).top1Correct).toBe(2);
  });

  it('lets an impossible class cost infinitely, and refuses NaN, foreign labels and nothing', () => {
    expect(countAccuracy(float32([0, Number.NEGATIVE_INFINITY], [1, 2]), [1]).nllSum).toBe(Number.POSITIVE_INFINITY);
    expect(() => countAccuracy(float32([0, Number.NaN], [1, 2]), [0])).toThrow(/image 0 of the batch, class 1, is NaN/);
    expect(() => countAccuracy(scores, [0, 7])).toThrow(/label 7.*classes 0 to 6/);
    expect(() => countAccuracy(scores, [0])).toThrow(/2 predictions, but 1 labels/);
    expect(() => countAccuracy(float32([1, 2]), [0])).toThrow(/\[N, classes\]/);
    expect(() => computeAccuracy(NO_IMAGES)).toThrow(/no image/);
  });
});

describe('pearson', () => {
  it('equals numpy.corrcoef', () => {
    // numpy.corrcoef([1, 2, 4, 8], [3, 1, 4, 1])[0, 1]
    expect(pearson([1, 2, 4, 8], [3, 1, 4, 1])).toBeCloseTo(-0.340975, 6);
  });

  it('is 1 for a map and its rescaling, -1 for its negative, symmetric, and never outside', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(1000), fc.nat(1000)), { minLength: 2, maxLength: 20 }), (pairs) => {
        const a = pairs.map((pair) => pair[0]);
        const b = pairs.map((pair) => pair[1]);
        const isFlat = (values: number[]) => values.every((value) => value === values[0]);
        const r = pearson(a, b);
        expect(r === undefined).toBe(isFlat(a) || isFlat(b));
        expect(Math.abs(r ?? 0)).toBeLessThanOrEqual(1);
        expect(pearson(b, a) ?? 0).toBeCloseTo(r ?? 0, 12);
        const [scaled, negative] = [a.map((value) => 3 * value + 7), a.map((value) => -value)];
        expect(pearson(a, scaled) ?? 1).toBeCloseTo(1, 12);
        expect(pearson(a, negative) ?? -1).toBeCloseTo(-1, 12);
      }),
    );
  });

  it('is not defined for constant maps', () => {
    expect(pearson([0, 0, 0], [0, 0, 0])).toBeUndefined();
    expect(pearson([0.1, 0.1, 0.1], [0, 1, 2])).toBeUndefined();
    expect(pearson([0, 1, 2], [0, 0, 0])).toBeUndefined();
  });

  it('refuses maps that cannot be compared', () => {
    expect(() => pearson([1, 2], [1])).toThrow(/2 and 1 pixels/);
    expect(() => pearson([], [])).toThrow(/0 and 0 pixels/);
    expect(() => pearson([1, Number.NaN], [1, 2])).toThrow(/NaN/);
  });
});

describe('the pointing game', () => {
  const map = float32([0, 0, 0, 0, 0, 1, 0, 0.5, 0, 0, 0, 0], [3, 4]);
  it('hits when the peak is in the box, whose far edges are outside', () => {
    expect(findPeak(map)).toEqual({ x: 1, y: 1 });
    expect(pointingGame(map, { x0: 1, y0: 1, x1: 2, y1: 2 })).toBe(true);
    expect(pointingGame(map, { x0: 2, y0: 1, x1: 4, y1: 2 })).toBe(false);
    expect(pointingGame(map, { x0: 0, y0: 0, x1: 1, y1: 3 })).toBe(false);
    expect(pointingGame(map, { x0: 0, y0: 0, x1: 4, y1: 1 })).toBe(false);
  });
  it('misses with a map that shows nothing', () => {
    expect(pointingGame(zeros('float32', [3, 4]), { x0: 0, y0: 0, x1: 4, y1: 3 })).toBe(false);
  });
});
