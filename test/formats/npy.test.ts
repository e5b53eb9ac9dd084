import { existsSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readNpy, writeNpy } from '../../src/formats/npy.js';
import { float32, tensor } from '../../src/tensor/tensor.js';
import { requires } from '../support/requires.js';
import { shared } from '../support/shared-data.js';

/** Files as NumPy 1.24 writes them, by what is in them. */
const written = {
  quarters:
    'k05VTVBZAQB2AHsnZGVzY3InOiAnPGY0JywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKDIsIDMpLCB9ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAAAAAACAPgAAAD8AAEA/AACAPwAAoD8=',
  int64Version2:
    'k05VTVBZAgB0AAAAeydkZXNjcic6ICc8aTgnLCAnZm9ydHJhbl9vcmRlcic6IEZhbHNlLCAnc2hhcGUnOiAoMiwpLCB9ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAr//////////wAAAAAAAQAA',
  scalarVersion3:
    'k05VTVBZAwB0AAAAeydkZXNjcic6ICc8ZjgnLCAnZm9ydHJhbl9vcmRlcic6IEZhbHNlLCAnc2hhcGUnOiAoKSwgfSAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAAAAAADgPw==',
  fortran:
    'k05VTVBZAQB2AHsnZGVzY3InOiAnPGY0JywgJ2ZvcnRyYW5fb3JkZXInOiBUcnVlLCAnc2hhcGUnOiAoMiwgMiksIH0gICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAAAAAAAAQAAAgD8AAEBA',
  bigEndian:
    'k05VTVBZAQB2AHsnZGVzY3InOiAnPmY0JywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKDIsKSwgfSAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAAAAP4AAAA==',
  structured:
    'k05VTVBZAQB2AHsnZGVzY3InOiBbKCdhJywgJzxmNCcpXSwgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKDEsKSwgfSAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAAAA',
};
const file = (name: keyof typeof written) => new Uint8Array(Buffer.from(written[name], 'base64'));

/** A version-1 file with any header text and as many zero bytes of elements. */
function withHeader(text: string, elements: number): Uint8Array {
  const bytes = new Uint8Array(10 + text.length + elements);
  bytes.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, text.length & 255, text.length >> 8]);
  bytes.set(new TextEncoder().encode(text), 10);
  return bytes;
}

describe('.npy files', () => {
  it('are read as NumPy wrote them, in versions 1, 2 and 3', () => {
    expect(readNpy(file('quarters'))).toEqual(float32([0, 0.25, 0.5, 0.75, 1, 1.25], [2, 3]));
    expect(readNpy(file('int64Version2'))).toEqual(tensor('int64', [2], BigInt64Array.of(-1n, 2n ** 40n)));
    expect(readNpy(file('scalarVersion3'))).toEqual(tensor('float64', [], Float64Array.of(0.5)));
  });

  it('are written as NumPy writes them', () => {
    expect(writeNpy(float32([0, 0.25, 0.5, 0.75, 1, 1.25], [2, 3]))).toEqual(file('quarters'));
  });

  it('come back as they were, whatever the dimensions', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(4), { maxLength: 5 }), fc.infiniteStream(fc.float()), (dims, values) => {
        const size = dims.reduce((product, dim) => product * dim, 1);
        const source = float32([...values.take(size)], dims);
        const bytes = writeNpy(source);
        expect((bytes.length - 4 * size) % 64).toBe(0);
        expect(readNpy(bytes)).toEqual(source);
      }),
    );
  });

  it('are read at an unaligned offset of a larger buffer', () => {
    const shifted = new Uint8Array(file('quarters').length + 3);
    shifted.set(file('quarters'), 3);
    expect(readNpy(shifted.subarray(3)).dims).toEqual([2, 3]);
  });

  it('are refused in words when they are something else', () => {
    expect(() => readNpy(file('fortran'), 'map.npy')).toThrow(/Reading map\.npy: .*Fortran.*ascontiguousarray/);
    expect(() => readNpy(file('bigEndian'))).toThrow(/type '>f4' are not supported/);
    expect(() => readNpy(file('structured'))).toThrow(/no simple element type/);
    expect(() => readNpy(new TextEncoder().encode('not an array at all'))).toThrow(/does not begin/);
    expect(() => readNpy(new Uint8Array(0))).toThrow(/does not begin/);
    expect(() => readNpy(file('quarters').with(6, 9))).toThrow(/version 9/);
  });

  it('never allocate by what their header claims', () => {
    const header = (shape: string) => `{'descr': '<f4', 'fortran_order': False, 'shape': ${shape}, }\n`;
    expect(() => readNpy(withHeader(header('(9223372036854775807,)'), 8))).toThrow(/but it holds 8/);
    expect(() => readNpy(withHeader(header(`(${'9'.repeat(400)}, 0)`), 8))).toThrow(/but it holds 8/);
    expect(() => readNpy(withHeader(header('(3,)'), 8))).toThrow(/12 bytes of elements, but it holds 8/);
    expect(() => readNpy(withHeader(header('(1,)'), 8))).toThrow(/4 bytes of elements, but it holds 8/);
    expect(() => readNpy(withHeader(header('(-1, -2)'), 8))).toThrow(/no shape/);
    const version2 = file('int64Version2').slice();
    version2.set([255, 255, 255, 255], 8);
    expect(() => readNpy(version2)).toThrow(/header claims 4294967295 bytes/);
  });

  it('fail with an error of ours, truncated or altered anywhere', () => {
    const whole = file('quarters');
    for (let end = 0; end < whole.length; end++) expect(() => readNpy(whole.subarray(0, end))).toThrow(/^Reading/);
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, byte) => {
        try {
          readNpy(whole.with(at, byte));
        } catch (error) {
          expect(error).toMatchObject({ name: 'ShiboriError' });
        }
      }),
    );
  });
});

const reference = shared('reference', 'grad-cam-n01443537_247-0.npy');
describe('the reference maps', requires('shared data', existsSync(reference)), () => {
  it('are read', () => {
    const map = readNpy(new Uint8Array(readFileSync(reference)));
    expect(map.dtype).toBe('float32');
    expect(map.dims).toEqual([64, 64]);
  });
});
