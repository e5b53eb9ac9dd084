import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { crc32c } from '../../src/formats/tensorboard/crc32c.js';
import { encodeScalarsRecord, encodeVersionRecord } from '../../src/formats/tensorboard/events.js';
import { decodeEvents } from './decode-events.js';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

describe('CRC-32C', () => {
  it('has the check values of RFC 3720 and of the catalogue', () => {
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(255))).toBe(0x62a8ab43);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
    expect(crc32c(new TextEncoder().encode('123456789'))).toBe(0xe3069283);
    expect(crc32c(new Uint8Array(0))).toBe(0);
  });
});

describe('event records', () => {
  it('are byte for byte what other writers of event files produce', () => {
    // Wall time 256.5: the version record, then the scalar v/1 = 1.5 at step 1.
    const version = ['1800000000000000', 'a37f4b22', '0900000000000870401a0d627261696e2e4576656e743a32', 'bc98212b'];
    const scalar = ['1900000000000000', '8bf10828', '09000000000008704010012a0c0a0a0a03762f31150000c03f', '2cecc087'];
    expect(hex(encodeVersionRecord(256.5))).toBe(version.join(''));
    expect(hex(encodeScalarsRecord(256.5, 1, { 'v/1': 1.5 }))).toBe(scalar.join(''));
  });

  it('decode to what went in', () => {
    const scalars = fc.dictionary(
      fc.string({ unit: 'grapheme', minLength: 1, maxLength: 200 }).filter((tag) => tag !== '__proto__'),
      fc.float(),
      { maxKeys: 5 },
    );
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.double({ min: 0, max: 1e11, noNaN: true }), scalars, (step, wallTime, values) => {
        const [event] = decodeEvents(encodeScalarsRecord(wallTime, step, values));
        expect(event).toEqual({ wallTime, step, scalars: Object.entries(values) });
      }),
    );
  });
});
