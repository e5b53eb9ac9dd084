import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/errors.js';
import { requireRow } from '../../src/train/named-options.js';
import { adam, type Optimizer, optimizers, sgd } from '../../src/train/optimizers.js';
import { findLargestDifference } from '../support/differences.js';
import { golden } from './golden.js';

/** PyTorch computes in float32, we in double: their rounding over 20 steps, relative to parameters near 1. */
const TOLERANCE = 1e-6;

describe('adam', () => {
  it.each(golden.adam)('takes the steps of torch.optim.Adam with $options', ({ options, ...run }) => {
    const optimizer = adam(options);
    const parameter = Float32Array.from(run.start);
    const state = optimizer.init(parameter.length);
    run.gradients.forEach((gradient, step) => {
      const learningRate = run.rates[step] ?? 0;
      optimizer.update(parameter, Float32Array.from(gradient), state, { step: step + 1, learningRate });
      expect(findLargestDifference(parameter, run.steps[step] ?? [])).toBeLessThan(TOLERANCE);
    });
    // Of each moment: v decays to as little as 1e-9.
    for (const [found, expected] of [
      [state.m, run.m],
      [state.v, run.v],
    ]) {
      for (const [i, value] of (expected ?? []).entries()) {
        expect(Math.abs((found?.[i] ?? Number.NaN) - value)).toBeLessThanOrEqual(1e-5 * Math.abs(value));
      }
    }
  });
});

describe('optimizers', () => {
  it.each(golden.optimizers)('$name takes the steps of PyTorch with $options', ({ name, options, ...run }) => {
    const optimizer = requireRow('optimizer', optimizers, name).create(options);
    const parameter = Float32Array.from(run.start);
    const state = optimizer.init(parameter.length);
    expect(optimizer.name).toBe(name);
    run.gradients.forEach((gradient, step) => {
      optimizer.update(parameter, Float32Array.from(gradient), state, { step: step + 1, learningRate: run.rate });
      expect(findLargestDifference(parameter, run.steps[step] ?? []), `step ${step + 1}`).toBeLessThan(TOLERANCE);
    });
  });

  const every: readonly [string, Optimizer][] = [
    ...Object.entries(optimizers).map(([name, { create }]): [string, Optimizer] => [
      name,
      create({ weightDecay: 0.1 }),
    ]),
    ['sgd with momentum', sgd({ momentum: 0.9, nesterov: true })],
  ];
  const numbers = fc.array(fc.float({ min: -4, max: 4, noNaN: true }), { minLength: 5, maxLength: 5 });

  it.each(every)('%s: a scale of the gradient is a gradient that was scaled before', (_, optimizer) => {
    fc.assert(
      // Powers of two scale float32 numbers without rounding.
      fc.property(numbers, numbers, fc.constantFrom(0.5, 1, 4), (start, gradient, gradientScale) => {
        const run = (g: Float32Array, scale: number) => {
          const parameter = Float32Array.from(start);
          const state = optimizer.init(5);
          for (const step of [1, 2]) {
            optimizer.update(parameter, g, state, { step, learningRate: 0.1, gradientScale: scale });
          }
          return [...parameter];
        };
        const g = Float32Array.from(gradient);
        // Multiplying may underflow where the product does not.
        fc.pre(g.every((value) => value === 0 || Math.abs(value) > 1e-18));
        expect(run(g, gradientScale)).toEqual(
          run(
            g.map((value) => value * gradientScale),
            1,
          ),
        );
      }),
    );
  });

  it.each(every)('%s: weight decay of a group takes the place of its own', (_, optimizer) => {
    const run = (weightDecay: number) => {
      const parameter = Float32Array.of(2, -3);
      optimizer.update(parameter, new Float32Array(2), optimizer.init(2), { step: 1, learningRate: 0.1, weightDecay });
      return [...parameter];
    };
    // Nothing pulls but the decay: none leaves the parameter, some shrinks it.
    expect(run(0)).toEqual([2, -3]);
    expect(Math.abs(run(0.5)[1] ?? 3)).toBeLessThan(3);
  });

  it('names the nearest of an unknown one', () => {
    expect(() => requireRow('optimizer', optimizers, 'adamV')).toThrow(
      /No optimizer is called "adamV"\. Did you mean "adam/,
    );
    expect(() => requireRow('optimizer', optimizers, 'toString')).toThrow(UsageError);
  });

  it('refuses Nesterov without momentum, as PyTorch does', () => {
    expect(() => sgd({ nesterov: true })).toThrow(/momentum above 0/);
    expect(() => sgd({ nesterov: true, momentum: 0.9, dampening: 0.1 })).toThrow(/no dampening/);
  });
});
