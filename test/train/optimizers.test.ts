import { describe, expect, it } from 'vitest';
import { adam, sgd } from '../../src/train/optimizers.js';
import { constant, cyclic, oneCycle } from '../../src/train/schedules.js';
import { golden, largestDifference } from './golden.js';

/** PyTorch computes in float32, we in double: their rounding over 20 steps, relative to parameters near 1. */
const ADAM_TOLERANCE = 1e-6;
/** The same arithmetic in the same order, and decimal digits that tell doubles apart. */
const EXACT = 0;

describe('adam', () => {
  it.each(golden.adam)('takes the steps of torch.optim.Adam with $options', ({ options, ...run }) => {
    const optimizer = adam(options);
    const parameter = Float32Array.from(run.start);
    const state = optimizer.init(parameter.length);
    run.gradients.forEach((gradient, step) => {
      optimizer.update(parameter, Float32Array.from(gradient), state, step + 1, run.rates[step] ?? 0);
      expect(largestDifference(parameter, run.steps[step] ?? [])).toBeLessThan(ADAM_TOLERANCE);
    });
    for (const [i, expected] of run.m.entries()) expect(state.m?.[i]).toBeCloseTo(expected, 4);
    expect(largestDifference(Float32Array.from(state.v ?? []).map(Math.sqrt), run.v.map(Math.sqrt))).toBeLessThan(1e-4);
  });

  it('does not move a parameter that has no gradient', () => {
    const parameter = Float32Array.of(1, -2);
    const optimizer = adam();
    optimizer.update(parameter, new Float32Array(2), optimizer.init(2), 1, 0.1);
    expect([...parameter]).toEqual([1, -2]);
  });
});

describe('sgd', () => {
  it('goes against the gradient', () => {
    const parameter = Float32Array.of(1, -2);
    sgd().update(parameter, Float32Array.of(2, -4), {}, 1, 0.25);
    expect([...parameter]).toEqual([0.5, -1]);
  });
});

describe('schedules', () => {
  it.each(golden.cyclic)('cyclic is CyclicLR, $mode over $stepSizeUp steps', ({ rates, ...options }) => {
    const schedule = cyclic(options);
    expect(
      largestDifference(
        rates.map((_, step) => schedule(step)),
        rates,
      ),
    ).toBeLessThanOrEqual(EXACT);
  });

  it('triangular2 is the default, and halves each cycle', () => {
    const schedule = cyclic({ base: 1, max: 3, stepSizeUp: 4 });
    expect([0, 4, 8, 12, 20].map(schedule)).toEqual([1, 3, 1, 2, 1.5]);
  });

  it.each(golden.oneCycle)('one-cycle is OneCycleLR over $steps steps', ({ rates, ...options }) => {
    const schedule = oneCycle(options);
    const found = rates.map((_, step) => schedule(step));
    // Cosines of doubles, each rounded once.
    expect(largestDifference(found, rates)).toBeLessThan(1e-15);
  });

  it('constant stays', () => {
    expect([0, 1000].map(constant(0.01))).toEqual([0.01, 0.01]);
  });
});
