import { describe, expect, it } from 'vitest';
import { parseGoal, parseSchemes, parseSweepLimits } from '../../src/cli/compression-goal.js';

describe('parseGoal', () => {
  it.each([
    [{ params: '10%' }, { parameters: 0.1 }],
    [{ params: '2.8M' }, { parameters: 2_800_000 }],
    [{ params: '150,000' }, { parameters: 150_000 }],
    [{ size: '4MB' }, { size: 4_000_000 }],
    [{ size: '2 MiB' }, { size: 2 ** 21 }],
    [{ macs: '1.2G' }, { macs: 1.2e9 }],
    [{ maxAccuracyDrop: '0.5' }, { accuracyDrop: 0.5 }],
    [{ maxError: '1%' }, { error: 0.01 }],
    [{ maxError: '0.01' }, { error: 0.01 }],
  ])('reads %j', (texts, goal) => {
    expect(parseGoal(texts)).toEqual(goal);
  });

  it.each([
    [{}, 'needs a goal: exactly one of --params, --size, --macs, --max-accuracy-drop, --max-error'],
    [{ params: '10%', maxError: '1%' }, '--params and --max-error: compress takes exactly one goal'],
    [{ params: '0%' }, 'between 0 % and 100 %'],
    [{ params: '100%' }, 'between 0 % and 100 %'],
    [{ params: '1' }, 'at least 2'],
    [{ params: 'ten' }, 'no amount'],
    [{ params: '3MB' }, '"mb" is no unit'],
    [{ size: '4' }, 'needs a unit'],
    [{ maxError: '5' }, 'above 0 and below 1'],
    [{ maxAccuracyDrop: '-1' }, 'points of top-1'],
  ])('refuses %j', (texts, message) => {
    expect(() => parseGoal(texts)).toThrow(message);
  });
});

describe('parseSchemes', () => {
  it('suggests what a typo meant', () => {
    expect(parseSchemes(['svd', 'tt-conv'])).toEqual(['svd', 'tt-conv']);
    expect(() => parseSchemes(['tuker2'])).toThrow('Did you mean "tucker2"?');
    expect(() => parseSchemes([])).toThrow('at least one of');
  });
});

describe('parseSweepLimits', () => {
  it('reads limits of one kind', () => {
    expect(parseSweepLimits({ params: ['5%', '2.8M'] })).toEqual({ parameters: [0.05, 2_800_000] });
    expect(parseSweepLimits({ size: ['4MB'] })).toEqual({ size: [4_000_000] });
    expect(parseSweepLimits({})).toBeUndefined();
    expect(() => parseSweepLimits({ params: ['5%'], macs: ['5%'] })).toThrow('--params and --macs');
  });
});
