import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  bfloat16ToFloat32,
  float16ToFloat32,
  float32ToBfloat16,
  float32ToFloat16,
  toFloat32,
} from '../../src/tensor/float16.js';
import { float32, type Tensor, tensor } from '../../src/tensor/tensor.js';

/** Conversions by PyTorch, at every edge of rounding and at random; made by test/golden/torch/make.py. */
const golden: { halves: { float32Bits: number[]; float16: number[]; bfloat16: number[] } } = JSON.parse(
  readFileSync(new URL('../golden/torch/expected.json', import.meta.url), 'utf8'),
);
const values = new Float32Array(Int32Array.from(golden.halves.float32Bits).buffer);
const allHalves = Uint16Array.from({ length: 0x10000 }, (_, i) => i);

/** IEEE 754 binary16 by its definition, in double precision. */
function float16ByDefinition(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

describe('half precision', () => {
  it('rounds to nearest even where PyTorch does', () => {
    expect(values.length).toBeGreaterThan(250);
    expect([...float32ToFloat16(values)]).toEqual(golden.halves.float16);
    expect([...float32ToBfloat16(values)]).toEqual(golden.halves.bfloat16);
  });

  it('decodes all 65,536 float16 values by their definition', () => {
    const wrong = [...float16ToFloat32(allHalves)].findIndex(
      (value, bits) => !Object.is(value, float16ByDefinition(bits)),
    );
    expect(wrong).toBe(-1);
  });

  it('gives back all bits of both formats, NaN as some NaN', () => {
    const same = (before: Uint16Array, after: Uint16Array, decode: (bits: Uint16Array) => Float32Array) => {
      const numbers = decode(before);
      const again = decode(after);
      return before.findIndex((bits, i) => !(Number.isNaN(numbers[i]) ? Number.isNaN(again[i]) : bits === after[i]));
    };
    expect(same(allHalves, float32ToFloat16(float16ToFloat32(allHalves)), float16ToFloat32)).toBe(-1);
    expect(same(allHalves, float32ToBfloat16(bfloat16ToFloat32(allHalves)), bfloat16ToFloat32)).toBe(-1);
  });

  it('stays within half a unit of the last place', () => {
    fc.assert(
      fc.property(fc.float({ min: -65504, max: 65504, noNaN: true }), (value) => {
        const [back = Number.NaN] = float16ToFloat32(float32ToFloat16(Float32Array.of(value)));
        // 11 significant bits for normal numbers, steps of 2^-24 below them.
        expect(Math.abs(back - value)).toBeLessThanOrEqual(Math.max(Math.abs(value) * 2 ** -11, 2 ** -25));
      }),
    );
  });

  it('reads a view that does not begin at the start of its buffer', () => {
    const whole = Float32Array.of(9, 1, 2);
    expect([...float32ToFloat16(whole.subarray(1))]).toEqual([0x3c00, 0x4000]);
    expect([...float32ToBfloat16(whole.subarray(1))]).toEqual([0x3f80, 0x4000]);
  });
});

describe('toFloat32', () => {
  it('gives a float32 tensor back as it is', () => {
    const source = float32([1, 2]);
    expect(toFloat32(source)).toBe(source);
  });

  it('converts every other element type and keeps the dimensions', () => {
    const sources: readonly Tensor[] = [
      tensor('float64', [2, 1], Float64Array.of(0, 1)),
      tensor('float16', [2, 1], Uint16Array.of(0, 0x3c00)),
      tensor('bfloat16', [2, 1], Uint16Array.of(0, 0x3f80)),
      tensor('int8', [2, 1], Int8Array.of(0, 1)),
      tensor('uint8', [2, 1], Uint8Array.of(0, 1)),
      tensor('int16', [2, 1], Int16Array.of(0, 1)),
      tensor('uint16', [2, 1], Uint16Array.of(0, 1)),
      tensor('int32', [2, 1], Int32Array.of(0, 1)),
      tensor('uint32', [2, 1], Uint32Array.of(0, 1)),
      tensor('int64', [2, 1], BigInt64Array.of(0n, 1n)),
      tensor('uint64', [2, 1], BigUint64Array.of(0n, 1n)),
      tensor('bool', [2, 1], Uint8Array.of(0, 1)),
    ];
    for (const source of sources) expect(toFloat32(source), source.dtype).toEqual(float32([0, 1], [2, 1]));
  });
});
