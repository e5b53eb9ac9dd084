import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  buildLayerNetwork,
  planContraction,
  planFactorised,
  planReconstructed,
} from '../../src/decompose/contraction.js';
import type { TtShape } from '../../src/decompose/modes.js';
import { countElements } from '../../src/tensor/dims.js';
import { distance, norm, ROUNDING, randomValues } from '../linalg/support.js';
import { evaluatePlan } from './evaluate-plan.js';

type Sizes = Readonly<Record<string, number>>;

function product(indices: Iterable<string>, sizes: Sizes): number {
  let result = 1;
  for (const index of indices) result *= sizes[index] ?? Number.NaN;
  return result;
}

/** The least multiply-adds over all orders of pairs, by trying them all. */
function cheapest(tensors: readonly (readonly string[])[], sizes: Sizes): number {
  if (tensors.length === 1) return 0;
  let best = Number.POSITIVE_INFINITY;
  tensors.forEach((a, i) => {
    tensors.slice(i + 1).forEach((b, offset) => {
      const rest = tensors.filter((_, k) => k !== i && k !== i + 1 + offset);
      const open = [...a.filter((index) => !b.includes(index)), ...b.filter((index) => !a.includes(index))];
      best = Math.min(best, product(new Set([...a, ...b]), sizes) + cheapest([...rest, open], sizes));
    });
  });
  return best;
}

/** The sum over all index values of the product of all tensors: the definition. */
function contractByDefinition(
  tensors: readonly { indices: readonly string[]; data: Float64Array }[],
  sizes: Sizes,
  output: readonly string[],
): Float64Array {
  const result = new Float64Array(product(output, sizes));
  const all = [...new Set(tensors.flatMap(({ indices }) => indices))];
  const at = new Map<string, number>();
  const offset = (indices: readonly string[]) =>
    indices.reduce((sum, index) => sum * (sizes[index] ?? 1) + (at.get(index) ?? 0), 0);
  const walk = (depth: number): void => {
    const index = all[depth];
    if (index === undefined) {
      const term = tensors.reduce((value, { indices, data }) => value * (data[offset(indices)] ?? Number.NaN), 1);
      result[offset(output)] = (result[offset(output)] ?? 0) + term;
      return;
    }
    for (let i = 0; i < (sizes[index] ?? 0); i++) {
      at.set(index, i);
      walk(depth + 1);
    }
  };
  walk(0);
  return result;
}

/** A random network: every index joins two of the tensors, or one of them and the output. */
const networks = fc
  .record({
    count: fc.integer({ min: 1, max: 5 }),
    indices: fc.array(fc.record({ a: fc.nat(), b: fc.nat(), size: fc.integer({ min: 1, max: 3 }) }), {
      minLength: 1,
      maxLength: 8,
    }),
  })
  .map(({ count, indices }) => {
    const tensors: string[][] = Array.from({ length: count }, () => []);
    const sizes: Record<string, number> = {};
    const output: string[] = [];
    indices.forEach(({ a, b, size }, i) => {
      const name = `x${i}`;
      sizes[name] = size;
      tensors[a % count]?.push(name);
      if (a % count === b % count) output.push(name);
      else tensors[b % count]?.push(name);
    });
    return { tensors, sizes, output };
  });

describe('planContraction', () => {
  it('finds the cheapest order of any network, and its steps compute it', () => {
    fc.assert(
      fc.property(networks, ({ tensors, sizes, output }) => {
        const plan = planContraction(
          tensors.map((indices) => ({ indices })),
          sizes,
          output,
        );
        expect(plan.macs).toBe(cheapest(tensors, sizes));
        expect(plan.steps.reduce((sum, step) => sum + step.macs, 0)).toBe(plan.macs);
        expect(plan.peakElements).toBe(Math.max(0, ...plan.steps.map(({ peakElements: peak }) => peak)));
        const named = tensors.map((indices, i) => ({ indices, data: randomValues(product(indices, sizes), i) }));
        const expected = contractByDefinition(named, sizes, output);
        expect(distance(evaluatePlan(plan, named, sizes, output), expected)).toBeLessThan(
          ROUNDING * (1 + norm(expected)),
        );
      }),
      { numRuns: 150 },
    );
  });

  it('counts contractions of constants as free, and among equals takes the cheapest to fold', () => {
    const layer: TtShape = { layout: 'tt', outModes: [16, 32], inModes: [112, 224], bonds: [16, 100, 150] };
    const plan = planFactorised(layer, 1);
    expect(plan.macs).toBe(25_088 * 100 + 100 * 512);
    const { input, cores, sizes, output } = buildLayerNetwork(layer, 64);
    const varying = [input, ...cores].map(({ indices }) => ({ indices }));
    // Nothing folded: one core after the other, from the last to the first.
    const oneByOne = 64 * (25_088 * 150 + 112 * 150 * 100 + 100 * 32 * 16 + 32 * 16 * 16);
    expect(planContraction(varying, sizes, output).macs).toBe(oneByOne);
    expect(planReconstructed(layer).macs).toBe(0);
    expect(planReconstructed(layer).peakElements).toBe(512 * 100 + 100 * 25_088 + 512 * 25_088);
  });

  it('keeps the input on the left, its batch in front', () => {
    for (const layout of ['tt', 'tt-matrix'] as const) {
      const bonds = layout === 'tt' ? [2, 4, 3] : [3];
      for (const batch of [1, 1000]) {
        for (const { leftFree, rightFree, macs: cost } of planFactorised(
          { layout, outModes: [2, 3], inModes: [4, 3], bonds },
          batch,
        ).steps) {
          expect(rightFree).not.toContain('n');
          if (cost > 0) expect(leftFree[0]).toBe('n');
        }
      }
    }
  });

  it('plans trains of any length', () => {
    // 512 and 1024 in modes of two: 20 tensors.
    const outModes = new Array<number>(9).fill(2);
    const inModes = new Array<number>(10).fill(2);
    const bonds = Array.from({ length: 18 }, (_, k) => Math.min(6, 2 ** (k + 1), 2 ** (18 - k)));
    const layer: TtShape = { layout: 'tt', outModes, inModes, bonds };
    const { input, cores, sizes, output } = buildLayerNetwork(layer, 1);
    const plan = planFactorised(layer, 1);
    expect(plan.steps.length).toBe(19);
    expect(plan.macs).toBeLessThanOrEqual(1024 * 6 + 6 * 512);
    const named = [input, ...cores].map(({ indices }, i) => ({
      indices,
      data: randomValues(product(indices, sizes), i),
    }));
    const y = evaluatePlan(plan, named, sizes, output);
    // Another order must agree: the input against the train from its end to its start, one core at a time.
    const all = planContraction(
      named.map(({ indices }) => ({ indices })),
      sizes,
      output,
    );
    expect(distance(evaluatePlan(all, named, sizes, output), y)).toBeLessThan(ROUNDING * (1 + norm(y)));
    expect(y.length).toBe(countElements(outModes));
  });

  it('refuses networks that are no chain of matrix products', () => {
    const plan = (tensors: string[][], sizes: Sizes, output: string[]) => () =>
      planContraction(
        tensors.map((indices) => ({ indices })),
        sizes,
        output,
      );
    expect(plan([], {}, [])).toThrow(/at least one tensor/);
    expect(plan([['a'], ['a', 'b']], { a: 2 }, ['b'])).toThrow(/index "b" has no size/);
    expect(plan([['a'], ['a', 'b']], { a: 2, b: 2 }, [])).toThrow(/index "b" must be shared by two tensors/);
    expect(plan([['a'], ['a']], { a: 2 }, ['a'])).toThrow(/index "a" must be shared/);
    expect(plan([['a'], ['a'], ['a']], { a: 2 }, [])).toThrow(/index "a" must be shared/);
    expect(plan([['a', 'a']], { a: 2 }, [])).toThrow(/index "a" must be shared/);
    expect(plan([['a']], { a: 2 }, ['a', 'q'])).toThrow(/index "q" must be shared/);
  });
});
