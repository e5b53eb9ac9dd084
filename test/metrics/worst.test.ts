import { describe, expect, it } from 'vitest';
import { pickWorst } from '../../src/metrics/pick-worst.js';

const item = (group: string, badness: number) => ({ group, badness });
const options = {
  group: (each: ReturnType<typeof item>) => each.group,
  badness: (each: ReturnType<typeof item>) => each.badness,
};

describe('the worst of many items', () => {
  it('are taken class by class, the worst of each first', () => {
    const items = [item('a', 9), item('a', 8), item('a', 7), item('b', 1), item('c', 5), item('c', 6)];
    expect(pickWorst(items, 4, options)).toEqual([item('a', 9), item('a', 8), item('c', 6), item('b', 1)]);
    expect(pickWorst(items, 2, options)).toEqual([item('a', 9), item('c', 6)]);
  });

  it('are all of them where there are fewer than asked for', () => {
    expect(pickWorst([item('a', 1), item('a', 2)], 5, options)).toEqual([item('a', 2), item('a', 1)]);
    expect(pickWorst([], 5, options)).toEqual([]);
  });
});
