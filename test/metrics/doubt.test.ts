import { describe, expect, it } from 'vitest';
import {
  addPredictions,
  computeChanceProbability,
  findPredictionProblem,
  NO_PREDICTIONS,
} from '../../src/metrics/prediction-stats.js';
import { float32 } from '../../src/tensor/tensor.js';

/** Log-probabilities of confident predictions. */
function sure(predicted: readonly number[], classes: number) {
  const rows = predicted.flatMap((best) =>
    Array.from({ length: classes }, (_, c) => Math.log(c === best ? 0.9 : 0.1 / (classes - 1))),
  );
  return float32(rows, [predicted.length, classes]);
}
const cycle = (count: number, classes: number) => Array.from({ length: count }, (_, i) => i % classes);

describe('chanceOf', () => {
  it('is the tail of the binomial distribution', () => {
    // 1 - 0.5^10; 10 * 0.5^10 + 0.5^10; (1 / 6)^3.
    expect(computeChanceProbability(1, 10, 2)).toBeCloseTo(1 - 2 ** -10, 12);
    expect(computeChanceProbability(9, 10, 2)).toBeCloseTo(11 * 2 ** -10, 12);
    expect(computeChanceProbability(3, 3, 6)).toBeCloseTo(1 / 216, 12);
    expect(computeChanceProbability(0, 50_000, 1000)).toBe(1);
    // Sums of whole numbers: Σ C(50000, k) / 2^50000 from k on.
    expect(computeChanceProbability(25_500, 50_000, 2)).toBeCloseTo(3.9513e-6, 9);
    expect(computeChanceProbability(25_000, 50_000, 2)).toBeCloseTo(0.5017841152, 8);
  });
});

describe('doubtOf', () => {
  it('doubts an accuracy that guessing would reach, from 100 images on', () => {
    const labels = cycle(120, 10);
    const shifted = labels.map((label, i) => (i % 10 === 0 ? label : (label + 1) % 10));
    expect(findPredictionProblem(addPredictions(NO_PREDICTIONS, sure(shifted, 10), labels))).toMatch(
      /12 of 120 right is no better/,
    );
    expect(
      findPredictionProblem(addPredictions(NO_PREDICTIONS, sure(shifted.slice(0, 99), 10), labels.slice(0, 99))),
    ).toBeUndefined();
    const half = labels.map((label, i) => (i % 2 === 0 ? label : (label + 1) % 10));
    expect(findPredictionProblem(addPredictions(NO_PREDICTIONS, sure(half, 10), labels))).toBeUndefined();
  });

  it('doubts one class for all of 8 images or more, unless their labels say so or most are right', () => {
    const same = sure(Array(8).fill(4), 10);
    expect(findPredictionProblem(addPredictions(NO_PREDICTIONS, same))).toBe('All 8 images are predicted as class 4');
    expect(findPredictionProblem(addPredictions(NO_PREDICTIONS, same, cycle(8, 10)))).toMatch(/class 4/);
    expect(findPredictionProblem(addPredictions(NO_PREDICTIONS, same, Array(8).fill(4)))).toBeUndefined();
    expect(findPredictionProblem(addPredictions(NO_PREDICTIONS, same, [...Array(7).fill(4), 1]))).toBeUndefined();
    expect(findPredictionProblem(addPredictions(NO_PREDICTIONS, sure(Array(7).fill(4), 10)))).toBeUndefined();
    expect(findPredictionProblem(addPredictions(NO_PREDICTIONS, sure(cycle(8, 2), 10)))).toBeUndefined();
  });

  it('doubts predictions that say nothing', () => {
    const flat = float32(Array(80).fill(Math.log(0.1)), [8, 10]);
    expect(findPredictionProblem(addPredictions(NO_PREDICTIONS, flat, cycle(8, 10)))).toMatch(
      /nearly uniform over the 10 classes/,
    );
  });

  it('adds batches up', () => {
    const [a, b] = [sure([1, 1, 1, 1, 1], 3), sure([1, 1, 1], 3)];
    expect(findPredictionProblem(addPredictions(addPredictions(NO_PREDICTIONS, a), b))).toMatch(/All 8 images/);
    expect(
      findPredictionProblem(addPredictions(addPredictions(NO_PREDICTIONS, a), sure([1, 1, 2], 3))),
    ).toBeUndefined();
  });
});
