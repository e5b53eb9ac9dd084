import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sampleByClass } from '../../src/data/sample.js';

const labelsOf = (...sizes: number[]) => sizes.flatMap((size, label) => Array<number>(size).fill(label));
const countsOf = (labels: readonly number[], drawn: readonly number[], classes: number) =>
  Array.from({ length: classes }, (_, label) => drawn.filter((at) => labels[at] === label).length);

describe('sampleByClass', () => {
  it('draws the same number of every class of a balanced data set, in its order', () => {
    const labels = labelsOf(24, 24, 24, 24, 24);
    const drawn = sampleByClass(labels, 20, 42);
    expect(countsOf(labels, drawn, 5)).toEqual([4, 4, 4, 4, 4]);
    expect(drawn).toEqual([...drawn].sort((a, b) => a - b));
    for (const count of countsOf(labels, sampleByClass(labels, 23, 42), 5)) expect([4, 5]).toContain(count);
  });

  it('spreads fewer images than classes over the classes, one of each', () => {
    const labels = labelsOf(...Array<number>(100).fill(3));
    const chosen = sampleByClass(labels, 10, 42).map((at) => labels[at] ?? -1);
    expect(new Set(chosen.map((label) => Math.floor(label / 10))).size).toBe(10);
  });

  it('leaves no class out where there are as many images as classes', () => {
    const labels = labelsOf(1000, 1, 1);
    expect(countsOf(labels, sampleByClass(labels, 3, 1), 3)).toEqual([1, 1, 1]);
    expect(countsOf(labels, sampleByClass(labels, 103, 1), 3)).toEqual([101, 1, 1]);
  });

  it('gives the same images for a seed, and others for another', () => {
    const labels = labelsOf(50, 50);
    expect(sampleByClass(labels, 10, 7)).toEqual(sampleByClass(labels, 10, 7));
    expect(sampleByClass(labels, 10, 7)).not.toEqual(sampleByClass(labels, 10, 8));
  });

  it('draws every image equally often over the seeds', () => {
    const labels = labelsOf(6, 6);
    const times = new Array<number>(12).fill(0);
    for (let seed = 0; seed < 1200; seed++)
      for (const at of sampleByClass(labels, 4, seed)) times[at] = (times[at] ?? 0) + 1;
    // 400 each; five standard deviations of a binomial count (16.3) are 82.
    for (const count of times) expect(Math.abs(count - 400)).toBeLessThan(82);
  });

  it('draws different positions, as many as are wanted, whatever the labels', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -1, max: 6 }), { minLength: 1 }),
        fc.nat(60),
        fc.nat(),
        (labels, n, seed) => {
          const drawn = sampleByClass(labels, n, seed);
          expect(new Set(drawn).size).toBe(Math.min(n, labels.length));
          expect(drawn.every((at) => at in labels)).toBe(true);
        },
      ),
    );
  });
});
