import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  allocateBudget,
  type CostedOption,
  findLowerHull,
  findParetoFront,
  type LayerChoices,
} from '../../src/compression/budget-allocation.js';

const option = fc.record({ cost: fc.integer({ min: 1, max: 30 }), loss: fc.integer({ min: 0, max: 50 }) });
const network = fc
  .array(fc.array(option, { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 4 })
  .map((layers): LayerChoices<CostedOption>[] => layers.map((options, i) => ({ path: `l${i}`, options })));

/** Every combination of one option a layer. */
function combinations(layers: readonly LayerChoices<CostedOption>[]): CostedOption[] {
  return layers.reduce<CostedOption[]>(
    (sums, { options }) =>
      sums.flatMap((sum) => options.map(({ cost, loss }) => ({ cost: sum.cost + cost, loss: sum.loss + loss }))),
    [{ cost: 0, loss: 0 }],
  );
}

describe('allocate', () => {
  it('is optimal among all combinations of corners at every budget where a step of the walk ends', () => {
    fc.assert(
      fc.property(network, (layers) => {
        const hulls = layers.map(({ path, options }) => ({ path, options: findLowerHull(options) }));
        for (const end of findLowerHull(combinations(layers))) {
          const found = allocateBudget(hulls, end.cost);
          expect(found.cost).toBeLessThanOrEqual(end.cost);
          expect(found.loss).toBe(end.loss);
        }
      }),
    );
  });

  it('never spends more than the budget, and more budget never costs loss at the ends of steps', () => {
    fc.assert(
      fc.property(network, fc.integer({ min: 1, max: 130 }), (layers, budget) => {
        const least = layers.reduce((sum, { options }) => sum + Math.min(...options.map(({ cost }) => cost)), 0);
        if (least > budget) {
          expect(() => allocateBudget(layers, budget)).toThrow(`the smallest these layers can be made is ${least}`);
          return;
        }
        const { cost, loss, chosen } = allocateBudget(layers, budget);
        expect(cost).toBeLessThanOrEqual(budget);
        expect([...chosen.values()].reduce((sum, each) => sum + each.cost, 0)).toBe(cost);
        const best = Math.min(...combinations(layers).flatMap((all) => (all.cost <= budget ? [all.loss] : [])));
        expect(loss).toBeGreaterThanOrEqual(best);
        // No single exchange that fits would still save loss.
        for (const { path, options } of layers) {
          for (const to of options) {
            const now = chosen.get(path);
            if (now && cost - now.cost + to.cost <= budget) expect(to.loss).toBeGreaterThanOrEqual(now.loss);
          }
        }
      }),
    );
  });

  it('keeps only options that no other beats, and of these the corners', () => {
    const options = [
      { cost: 1, loss: 10 },
      { cost: 2, loss: 9 },
      { cost: 3, loss: 2 },
      { cost: 3, loss: 3 },
      { cost: 4, loss: 2 },
      { cost: 9, loss: 0 },
    ];
    expect(findParetoFront(options).map(({ cost }) => cost)).toEqual([1, 2, 3, 9]);
    expect(findLowerHull(options).map(({ cost }) => cost)).toEqual([1, 3, 9]);
  });
});
