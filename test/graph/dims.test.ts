import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { broadcastDims, divideDims, multiplyDims } from '../../src/graph/dims.js';

describe('symbolic dimensions', () => {
  it('carries a batch symbol through reshape arithmetic', () => {
    expect(multiplyDims(['N', 112, 224])).toBe('25088*N');
    expect(divideDims('25088*N', 224)).toBe('112*N');
    expect(divideDims('112*N', 112)).toBe('N');
    expect(divideDims('25088*N', 'N')).toBe(25088);
  });

  it('refuses a division that leaves a rest', () => {
    expect(divideDims('112*N', 100)).toBeUndefined();
    expect(divideDims(7, 2)).toBeUndefined();
    expect(divideDims(7, 'N')).toBeUndefined();
    expect(divideDims('?', '?')).toBeUndefined();
  });

  it('undoes a product by division', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 4 });
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 50 }), fc.boolean(), (dims, last, batch) => {
        const all = batch ? ['N', ...dims] : dims;
        expect(divideDims(multiplyDims([...all, last]), last)).toBe(multiplyDims(all));
      }),
    );
  });

  it('broadcasts as NumPy does', () => {
    expect(broadcastDims([2, 1, 4], [3, 1])).toEqual([2, 3, 4]);
    expect(broadcastDims(['N', 3], [3])).toEqual(['N', 3]);
    expect(broadcastDims([], [5])).toEqual([5]);
    expect(broadcastDims([2], [3])).toBeUndefined();
  });
});
