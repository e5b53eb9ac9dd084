import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { balance } from '../../src/decompose/balance.js';
import { clipRanks, reconstructTensor, type TensorTrain, ttSvd } from '../../src/decompose/tensor-train.js';
import type { MatrixProducts } from '../../src/linalg/products.js';
import { plainProducts } from '../../src/linalg/products.js';
import { countElements } from '../../src/tensor/dims.js';
import { distance, GRAM, golden, norm, ROUNDING, randomValues } from '../linalg/support.js';

const modesArbitrary = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 5 });
/** Modes, bonds that may be too large, and a seed. */
const request = modesArbitrary.chain((modes) =>
  fc.record({
    modes: fc.constant(modes),
    bonds: fc.array(fc.integer({ min: 1, max: 30 }), { minLength: modes.length - 1, maxLength: modes.length - 1 }),
    seed: fc.nat(),
  }),
);

/** Fails the test when anything is multiplied: for what must be free. */
const noProducts: MatrixProducts = {
  multiply: () => Promise.reject(new Error('A product was computed.')),
  multiplySingle: () => Promise.reject(new Error('A product was computed.')),
};

function expectTrain({ modes, ranks: bonds, cores }: TensorTrain): void {
  expect(cores.map(({ dims }) => dims)).toEqual(modes.map((mode, k) => [bonds[k - 1] ?? 1, mode, bonds[k] ?? 1]));
  for (const { dims, data } of cores) {
    expect(data.length).toBe(countElements(dims));
    expect(data.every(Number.isFinite)).toBe(true);
  }
}

describe('ttSvd', () => {
  it.each(golden.trains)('equals the plain algorithm on LAPACK: $modes', async (expected) => {
    const values = Float64Array.from(expected.values);
    const train = await ttSvd(values, expected.modes, expected.bonds, plainProducts);
    expectTrain(train);
    expect(train.ranks).toEqual(expected.bonds);
    // The best subspaces are unique here; they come from Gram matrices, the goldens have ten digits.
    expect(distance(await reconstructTensor(train, plainProducts), expected.approximation)).toBeLessThan(1e-8);
    expect(Math.abs(train.absoluteError - expected.error)).toBeLessThan(ROUNDING * train.norm * 10);
    expect(Math.abs(train.absoluteBound - expected.bound)).toBeLessThan(ROUNDING * train.norm * 10);
  });

  it('is exact and free at full rank', async () => {
    await fc.assert(
      fc.asyncProperty(modesArbitrary, fc.nat(), async (modes, seed) => {
        const values = randomValues(countElements(modes), seed);
        const train = await ttSvd(values, modes, undefined, noProducts);
        expectTrain(train);
        expect([train.absoluteError, train.absoluteBound, train.relativeError, train.clipped]).toEqual([0, 0, 0, []]);
        expect(await reconstructTensor(train, noProducts)).toEqual(values);
        expect(train.cores.some(({ data }) => data.buffer === values.buffer)).toBe(false);
      }),
    );
  });

  it('measures its true error, which stays within the bound, for every shape and bonds', async () => {
    await fc.assert(
      fc.asyncProperty(request, async ({ modes, bonds, seed }) => {
        const values = randomValues(countElements(modes), seed);
        const [valuesBefore, bondsBefore] = [values.slice(), [...bonds]];
        const train = await ttSvd(values, modes, bonds, plainProducts);
        expectTrain(train);
        expect(Math.abs(train.norm - norm(values))).toBeLessThan(ROUNDING * train.norm);
        const trueError = distance(await reconstructTensor(train, plainProducts), values);
        expect(Math.abs(train.absoluteError - trueError)).toBeLessThan(ROUNDING * (1 + train.norm));
        expect(train.relativeError).toBe(train.absoluteError / train.norm);
        expect(train.absoluteError).toBeLessThanOrEqual(train.absoluteBound);
        // Left to right, the errors of the steps are orthogonal: the bound is met, up to what rounding adds to it.
        expect(train.absoluteBound - train.absoluteError).toBeLessThanOrEqual(3 * GRAM * train.norm);
        expect(values).toEqual(valuesBefore);
        expect(bonds).toEqual(bondsBefore);
      }),
      { numRuns: 150 },
    );
  });

  it('clips bonds to their unfoldings and says which', async () => {
    const bonds = [16, 100, 2] as const;
    const train = await ttSvd(randomValues(2 * 3 * 4 * 5, 1), [2, 3, 4, 5], bonds, plainProducts);
    expect(train.ranks).toEqual([2, 6, 2]);
    expect(train.clipped).toEqual([
      { bond: 1, requested: 16, kept: 2 },
      { bond: 2, requested: 100, kept: 6 },
    ]);
    expect(bonds).toEqual([16, 100, 2]);
    // A small bond limits the next one.
    expect(clipRanks([4, 4, 4, 4], [1, 9, 9])).toEqual({
      bonds: [1, 4, 4],
      clipped: [
        { bond: 2, requested: 9, kept: 4 },
        { bond: 3, requested: 9, kept: 4 },
      ],
    });
  });

  it('changes nothing when it is applied to what it made', async () => {
    await fc.assert(
      fc.asyncProperty(request, async ({ modes, bonds, seed }) => {
        const first = await ttSvd(randomValues(countElements(modes), seed), modes, bonds, plainProducts);
        const values = await reconstructTensor(first, plainProducts);
        const again = await ttSvd(values, modes, first.ranks, plainProducts);
        expect(again.ranks).toEqual(first.ranks);
        expect(again.absoluteError).toBeLessThanOrEqual(GRAM * first.norm);
        expect(distance(await reconstructTensor(again, plainProducts), values)).toBeLessThanOrEqual(GRAM * first.norm);
      }),
      { numRuns: 60 },
    );
  });

  it('recovers a tensor of low rank from bonds of that rank and from larger ones', async () => {
    const [a, b, c] = [randomValues(8, 1), randomValues(5 * 4, 2), randomValues(6 * 2, 3)];
    // A tensor of rank 2: sum over two terms of an outer product of three vectors.
    const values = new Float64Array(4 * 10 * 6);
    for (let i = 0, at = 0; i < 4; i++) {
      for (let j = 0; j < 10; j++) {
        for (let k = 0; k < 6; k++, at++) {
          for (let term = 0; term < 2; term++) {
            values[at] = (values[at] ?? 0) + (a[i * 2 + term] ?? 0) * (b[j * 2 + term] ?? 0) * (c[k * 2 + term] ?? 0);
          }
        }
      }
    }
    for (const bonds of [
      [2, 2],
      [3, 5],
      [4, 3],
      [3, 6],
    ]) {
      const train = await ttSvd(values, [4, 10, 6], bonds, plainProducts);
      expectTrain(train);
      expect(train.relativeError).toBeLessThan(GRAM);
    }
    expect((await ttSvd(values, [4, 10, 6], [1, 2], plainProducts)).relativeError).toBeGreaterThan(0.01);
  });

  it('keeps the factors of a zero tensor finite', async () => {
    const train = await ttSvd(new Float32Array(60), [3, 4, 5], [2, 3], plainProducts);
    expectTrain(train);
    expect([train.norm, train.absoluteError, train.relativeError, train.absoluteBound]).toEqual([0, 0, 0, 0]);
    expectTrain(balance(train));
  });

  it('reads float32 elements as they are', async () => {
    const values = Float32Array.from(randomValues(24, 8));
    const train = await ttSvd(values, [4, 6], undefined, plainProducts);
    expect(Float32Array.from(await reconstructTensor(train, plainProducts))).toEqual(values);
  });

  it('refuses what does not fit', async () => {
    const values = new Float64Array(24);
    const attempt = (modes: number[], bonds?: number[]) => expect(ttSvd(values, modes, bonds, plainProducts)).rejects;
    await attempt([4, 5]).toThrow(/make 20 elements, found a tensor of 24/);
    await attempt([4, 6], [2, 2]).toThrow(/has 1 inner bond dimensions, found 2: \[2, 2\]/);
    await attempt([4, 6], [0]).toThrow(/bond dimensions that are positive integers, found \[0\]/);
    await attempt([4, 6], [1.5]).toThrow(/positive integers/);
    await attempt([4.8, 5]).toThrow(/modes that are positive integers/);
    await attempt([]).toThrow(/at least one mode/);
    values[3] = Number.NaN;
    await attempt([4, 6]).toThrow(/NaN or infinite/);
  });
});

describe('balance', () => {
  /** Of every index of every bond: the root mean square of the slice on the left over that on the right, where neither is zero. */
  function ratios({ cores }: TensorTrain): number[] {
    const found: number[] = [];
    cores.slice(1).forEach((right, k) => {
      const left = cores[k];
      if (!left) return;
      const bond = right.dims[0];
      const length = right.data.length / bond;
      for (let j = 0; j < bond; j++) {
        const rms = (slice: Float64Array) => norm(slice) / Math.sqrt(slice.length);
        const on = rms(left.data.filter((_, at) => at % bond === j));
        const off = rms(right.data.slice(j * length, (j + 1) * length));
        // A bond larger than what follows it can use has slices of zeros.
        if (on > 0 && off > 0) found.push(on / off);
      }
    });
    return found;
  }

  it('brings both sides of every bond within a factor of two without changing a bit of the tensor', async () => {
    await fc.assert(
      fc.asyncProperty(request, fc.integer({ min: -12, max: 12 }), async ({ modes, bonds, seed }, exponent) => {
        const values = randomValues(countElements(modes), seed).map((value) => value * 10 ** exponent);
        const train = await ttSvd(values, modes, bonds, plainProducts);
        const before = train.cores.map(({ data }) => data.slice());
        const balanced = balance(train);
        expectTrain(balanced);
        expect(balanced.absoluteError).toBe(train.absoluteError);
        for (const ratio of ratios(balanced)) {
          expect(ratio).toBeGreaterThan(0.499);
          expect(ratio).toBeLessThan(2.001);
        }
        expect(train.cores.map(({ data }) => data)).toEqual(before);
        const [first, second] = [
          await reconstructTensor(train, plainProducts),
          await reconstructTensor(balanced, plainProducts),
        ];
        expect(second).toEqual(first);
      }),
      { numRuns: 80 },
    );
  });

  it('leaves slices of zeros alone', async () => {
    const values = new Float64Array(16);
    values[0] = 1e6;
    const train = balance(await ttSvd(values, [4, 4], [3], plainProducts));
    expectTrain(train);
    expect(distance(await reconstructTensor(train, plainProducts), values)).toBeLessThan(1e6 * GRAM);
  });
});
