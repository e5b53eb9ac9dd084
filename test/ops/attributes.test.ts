import { describe, expect, it } from 'vitest';
import { encodeAttributes } from '../../src/ops/table.js';

describe('encodeAttributes', () => {
  it('refuses an attribute that the operator does not have, and names the nearest', () => {
    const misspelt: Record<string, number> = { transb: 1 };
    expect(() => encodeAttributes('Gemm', misspelt)).toThrow('Gemm has no attribute "transb". Did you mean "transB"?');
  });

  it('leaves out what is undefined', () => {
    expect(encodeAttributes('Gemm', { transB: 1 })).toEqual({ transB: { type: 'int', value: 1 } });
  });
});
