import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ShiboriError } from '../../src/errors.js';
import { readSafetensors } from '../../src/formats/safetensors/read.js';
import { writeSafetensors } from '../../src/formats/safetensors/write.js';
import { dtypes } from '../../src/tensor/dtype.js';
import { float32, type Tensor, tensor } from '../../src/tensor/tensor.js';
import { anyTensor } from './any-tensor.js';
import { golden } from './torch-golden.js';

/** The header that the library safetensors 0.8 for Python writes, before its padding, for `{b: int16 [[1, -2]], a: float32 0.5}`. */
const written =
  '{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"b":{"dtype":"I16","shape":[1,2],"data_offsets":[4,8]}}';

/** A file with any header and elements. */
function fileOf(header: string, elements: readonly number[], claimed?: bigint): Uint8Array {
  const text = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + text.length + elements.length);
  new DataView(bytes.buffer).setBigUint64(0, claimed ?? BigInt(text.length), true);
  bytes.set(text, 8);
  bytes.set(elements, 8 + text.length);
  return bytes;
}

const entry = (dtype: unknown, shape: unknown, ...offsets: readonly unknown[]) => ({
  dtype,
  shape,
  data_offsets: offsets,
});
const withEntries = (entries: unknown, elements: number) => fileOf(JSON.stringify(entries), Array(elements).fill(0));

function refusal(bytes: Uint8Array, file = 'model.safetensors'): string {
  try {
    readSafetensors(bytes, file);
  } catch (error) {
    if (!(error instanceof ShiboriError)) throw error;
    expect(error.message).toContain(`Reading ${file}: `);
    return error.message;
  }
  throw new Error('The file was read.');
}

describe('safetensors files', () => {
  it('are read whether or not their elements are aligned', () => {
    for (const padding of ['', ' ', '     ']) {
      const bytes = fileOf(written + padding, [0, 0, 0, 0x3f, 1, 0, 0xfe, 0xff]);
      const { tensors, metadata } = readSafetensors(bytes, 'weights.safetensors');
      expect(metadata).toEqual({ format: 'pt' });
      expect([...tensors]).toEqual([
        ['a', float32([0.5], [])],
        ['b', tensor('int16', [1, 2], Int16Array.of(1, -2))],
      ]);
    }
  });

  it('are read as they were written, in order, for any tensors', () => {
    const name = fc.oneof(fc.string({ unit: 'grapheme' }), fc.constant('__proto__')).filter((text) => {
      // JSON objects list keys that look like numbers first; no parameter is named so.
      return text !== '__metadata__' && !/^\d+$/.test(text);
    });
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.tuple(name, anyTensor(dtypes)), { selector: ([key]) => key, maxLength: 6 }),
        fc.dictionary(
          fc.string().filter((key) => key !== '__proto__'),
          fc.string(),
        ),
        (entries, metadata) => {
          const read = readSafetensors(writeSafetensors(new Map(entries), metadata), 'any');
          expect([...read.tensors]).toEqual(entries);
          expect({ ...read.metadata }).toEqual({ ...metadata });
        },
      ),
    );
  });

  it('are written with every tensor aligned to its elements, so that reading copies nothing', () => {
    const tensors = new Map<string, Tensor>([
      ['byte', tensor('uint8', [1], Uint8Array.of(1))],
      ['double', tensor('float64', [1], Float64Array.of(2))],
      ['half', tensor('float16', [1], Uint16Array.of(3))],
    ]);
    const bytes = writeSafetensors(tensors);
    expect(Number(new DataView(bytes.buffer).getBigUint64(0, true)) % 8).toBe(0);
    const read = readSafetensors(bytes, 'aligned').tensors;
    expect([...read]).toEqual([...tensors]);
    for (const { data } of read.values()) expect(data.buffer).toBe(bytes.buffer);
  });

  it('hold the same tensor under two names', () => {
    const shared = float32([1, 2]);
    const tensors = new Map([
      ['a', shared],
      ['b', shared],
    ]);
    expect([...readSafetensors(writeSafetensors(tensors), 'tied').tensors]).toEqual([...tensors]);
  });

  it('cannot hold a tensor under the reserved name', () => {
    expect(() => writeSafetensors(new Map([['__metadata__', float32([1])]]))).toThrow('__metadata__');
  });
});

describe('a bad safetensors file', () => {
  it.each([2n ** 63n, 2n ** 64n - 1n, 1000n])('claims a header of %s bytes', (claimed) => {
    const message = refusal(fileOf(written, [1, 2, 3, 4, 5, 6, 7, 8], claimed));
    expect(message).toContain(`claims ${claimed} bytes, but only`);
  });

  it.each([
    ['a JPEG image', Uint8Array.of(0xff, 0xd8, 0xff, 0xe0, 0, 0, 0, 0, 0, 0)],
    ['a zip archive', golden('dtypes.pt')],
    ['a Python pickle', golden('dtypes-legacy.pt')],
    ['an empty file', new Uint8Array(0)],
  ])('is %s', (kind, bytes) => {
    expect(refusal(bytes)).toContain(`it is ${kind}, not a safetensors file`);
  });

  it.each([
    ['a header that is no JSON', fileOf('{"a":', []), /not JSON/],
    [
      'a header that is not UTF-8',
      fileOf('{"a\u00e9"}', []).map((byte) => (byte === 0xc3 ? 0xff : byte)),
      /not UTF-8 at character 3/,
    ],
    [
      'an entry that is not UTF-8',
      fileOf('{"fc":{"dtype":"\u00e9"}}', []).map((byte) => (byte === 0xc3 ? 0xff : byte)),
      /not UTF-8.*in or after the entry "fc"/,
    ],
    ['metadata that are no texts', withEntries({ __metadata__: { epoch: 3 } }, 0), /__metadata__/],
    ['a tensor that is none', withEntries({ a: 3 }, 0), /tensor "a" is not described/],
    ['an entry too many', withEntries({ a: { ...entry('U8', [1], 0, 1), more: 1 } }, 1), /"a" is not described.*more/],
    ['one offset', withEntries({ a: entry('U8', [1], 0) }, 1), /"a" is not described.*data_offsets/],
    ['a negative offset', withEntries({ a: entry('U8', [1], -1, 0) }, 1), /"a".*data_offsets/],
    ['a size that is no integer', withEntries({ a: entry('U8', [0.5], 0, 1) }, 1), /"a".*shape/],
    ['a size beyond 2^53', withEntries({ a: entry('U8', [2 ** 60], 0, 1) }, 1), /"a".*shape/],
    ['an unknown element type', withEntries({ a: entry('F8_E4M3', [1], 0, 1) }, 1), /"a".*"F8_E4M3".*supported: F64/],
    ['an inherited element type', withEntries({ a: entry('toString', [1], 0, 1) }, 1), /"toString"/],
    ['more elements than bytes', withEntries({ a: entry('F32', [2], 0, 4) }, 4), /"a".*needs 8 bytes.*give it 4/],
    ['a product that overflows', withEntries({ a: entry('U8', [2 ** 52, 2 ** 52], 0, 1) }, 1), /"a".*give it 1/],
    ['an infinite product', withEntries({ a: entry('U8', Array(30).fill(2 ** 52), 0, 1) }, 1), /needs Infinity/],
    ['offsets past the end', withEntries({ a: entry('U8', [9], 0, 9) }, 8), /"a".*0 to 9.*holds 8/],
    ['offsets backwards', withEntries({ a: entry('U8', [1], 1, 0) }, 1), /end before they begin/],
    [
      'an overlap',
      withEntries({ a: entry('U8', [2], 0, 2), b: entry('U8', [2], 1, 3) }, 3),
      /"b".*1 to 3.*overlap those of tensor "a"/,
    ],
    [
      'a gap',
      withEntries({ a: entry('U8', [1], 0, 1), b: entry('U8', [1], 2, 3) }, 3),
      /"b".*1 to 2, after tensor "a", belong to no tensor/,
    ],
    [
      'a tensor twice',
      fileOf('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\\u0061":{}}', [1]),
      /the tensor "a" twice/,
    ],
    ['metadata twice', fileOf('{"__metadata__":{},"__metadata__":{}}', []), /"__metadata__" twice/],
    [
      'a text of the metadata twice',
      fileOf('{"__metadata__":{"a":"{\\"","b":"","a":"1"}}', []),
      /"__metadata__".*"a" twice/,
    ],
    [
      'a part of an entry twice',
      fileOf('{"w":{"dtype":"U8","shape":[1],"shape":[1],"data_offsets":[0,1]}}', [1]),
      /"w" in its header has "shape" twice/,
    ],
    ['bytes after the end', withEntries({ a: entry('U8', [1], 0, 1) }, 3), /2 bytes after its last tensor, "a"/],
    ['a boolean of 2', fileOf(JSON.stringify({ a: entry('BOOL', [1], 0, 1) }), [2]), /"a".*not all 0 or 1/],
    ['lists nested deeply', fileOf(`{"a":${'['.repeat(200_000)}${']'.repeat(200_000)}}`, []), /"a" is not described/],
  ])('has %s', (_, bytes, message) => {
    expect(refusal(bytes)).toMatch(message);
  });

  const whole = writeSafetensors(
    new Map<string, Tensor>([
      ['a.weight', float32([1, 2, 3, 4], [2, 2])],
      ['b', tensor('bool', [3], Uint8Array.of(1, 0, 1))],
    ]),
    { note: 'x' },
  );

  it('gives an error wherever it is cut short', () => {
    for (let length = 0; length < whole.length; length++) refusal(whole.slice(0, length));
  });

  it('gives an error or tensors when any bytes are changed, nothing else', () => {
    const change = fc.record({ at: fc.nat(whole.length - 1), byte: fc.nat(255) });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        const bytes = whole.slice();
        for (const { at, byte } of changes) bytes[at] = byte;
        try {
          readSafetensors(bytes, 'changed');
        } catch (error) {
          expect(error).toBeInstanceOf(ShiboriError);
        }
      }),
      { numRuns: 1000 },
    );
  });
});
