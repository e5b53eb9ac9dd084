import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findNearestModes, suggestModes } from '../../src/decompose/factorization.js';
import {
  checkRequest,
  countCores,
  countCoreWeights,
  getCoreDims,
  getCoreName,
  getStoredCoreDims,
  getTrainModes,
  readTtShape,
  type TtRequest,
  type TtShape,
} from '../../src/decompose/modes.js';
import { clipRanks } from '../../src/decompose/tensor-train.js';
import { UsageError } from '../../src/errors.js';
import { countElements, range } from '../../src/tensor/dims.js';

/** A layer's shape with bonds as large as these modes allow. */
function shapeOf(request: TtRequest): TtShape {
  return { ...request, bonds: clipRanks(getTrainModes(request), request.bonds).bonds };
}

const modes = fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 4 });
const shapes = fc
  .record({ layout: fc.constantFrom('tt' as const, 'tt-matrix' as const), outModes: modes, inModes: modes })
  .map(({ layout, outModes, inModes }) =>
    shapeOf({
      layout,
      outModes,
      inModes: layout === 'tt' ? inModes : outModes.map((_, k) => inModes[k % inModes.length] ?? 1),
    }),
  );

describe('parameter counts', () => {
  it('are those of the study, to the digit', () => {
    const [features, batchNorms, lastLayer, biases] = [14_714_688, 2_048, 102_600, 512 + 512];
    const rest = features + batchNorms + lastLayer + biases;
    const first: TtRequest = { layout: 'tt', outModes: [16, 32], inModes: [112, 224] };
    const second: TtRequest = { layout: 'tt', outModes: [16, 32], inModes: [16, 32] };
    expect(shapeOf(first).bonds).toEqual([16, 512, 224]);
    expect(countCoreWeights(shapeOf(first))).toBe(13_157_632);
    expect(countCoreWeights(shapeOf(second))).toBe(525_568);
    expect(rest + countCoreWeights(shapeOf(first)) + countCoreWeights(shapeOf(second))).toBe(28_503_560);
    const cut = [shapeOf({ ...first, bonds: [16, 100, 150] }), shapeOf({ ...second, bonds: [16, 100, 32] })];
    expect(cut.reduce((sum, shape) => sum + countCoreWeights(shape), rest)).toBe(16_689_096);
  });
});

describe('stored cores', () => {
  it('drop the outer bonds: matrices at both ends of tt, pairs of modes in tt-matrix', () => {
    const tt: TtShape = { layout: 'tt', outModes: [16, 32], inModes: [112, 224], bonds: [16, 100, 150] };
    expect(range(4).map((k) => getStoredCoreDims(tt, k))).toEqual([
      [16, 16],
      [16, 32, 100],
      [100, 112, 150],
      [150, 224],
    ]);
    expect(getCoreDims(tt, 3)).toEqual([150, 224, 1]);
    const paired: TtShape = { layout: 'tt-matrix', outModes: [2, 3, 4], inModes: [5, 6, 7], bonds: [8, 9] };
    expect(range(3).map((k) => getStoredCoreDims(paired, k))).toEqual([
      [2, 5, 8],
      [8, 3, 6, 9],
      [9, 4, 7],
    ]);
    const single: TtShape = { layout: 'tt-matrix', outModes: [4], inModes: [7], bonds: [] };
    expect(getStoredCoreDims(single, 0)).toEqual([4, 7]);
    expect(getCoreName(0)).toBe('tt_W0');
    expect(() => getStoredCoreDims(tt, 4)).toThrow(/core from 0 to 3, found 4/);
  });

  it('tell the shape of their layer, whatever it is', () => {
    fc.assert(
      fc.property(shapes, (shape) => {
        const stored = range(countCores(shape)).map((k) => getStoredCoreDims(shape, k));
        expect(stored.map(countElements)).toEqual(
          range(countCores(shape)).map((k) => countElements(getCoreDims(shape, k))),
        );
        expect(readTtShape(stored, shape.outModes.length)).toEqual(shape);
      }),
    );
  });

  it('are refused when they do not form a train', () => {
    expect(() =>
      readTtShape(
        [
          [2, 3],
          [4, 5],
        ],
        1,
      ),
    ).toThrow(/tt_W1 of a tt layer: .* of size 3, found \[4, 5, 1\]/);
    expect(() =>
      readTtShape(
        [
          [2, 3],
          [3, 2, 5],
          [5, 2, 2],
        ],
        1,
      ),
    ).toThrow(/tt_W2 of a tt layer: expected 3 axes/);
    expect(() =>
      readTtShape(
        [
          [2, 3],
          [3, 5],
        ],
        2,
      ),
    ).toThrow(/cannot have 2 output modes/);
    expect(() => readTtShape([], 0)).toThrow(/cannot have 0 output modes/);
  });
});

describe('checkRequest', () => {
  const attempt = (request: Partial<TtRequest>) => () =>
    checkRequest('fc', { layout: 'tt', outModes: [16, 32], inModes: [112, 224], ...request }, 512, 25_088);

  it('accepts what fits', () => {
    expect(attempt({})).not.toThrow();
    expect(attempt({ bonds: [16, 100, 150] })).not.toThrow();
    expect(attempt({ layout: 'tt-matrix', bonds: [10] })).not.toThrow();
  });

  it('says which product is wrong and what is near', () => {
    expect(attempt({ inModes: [112, 225] })).toThrow(UsageError);
    expect(attempt({ inModes: [112, 225] })).toThrow(
      /Layer "fc": the product of the in modes must be its 25088 input features, found \[112, 225\] with product 25200. Try \[112, 224\]/,
    );
    expect(attempt({ outModes: [16, 30] })).toThrow(/out modes must be its 512 output features.*Try \[16, 32\]/);
    expect(attempt({ outModes: [16, 3.2] })).toThrow(/out modes must be positive integers, found \[16, 3.2\]/);
    expect(attempt({ outModes: [-16, -32] })).toThrow(/out modes must be positive integers/);
    expect(attempt({ inModes: [] })).toThrow(/at least one in mode/);
  });

  it('says how many bonds and pairs there must be', () => {
    expect(attempt({ bonds: [16, 100] })).toThrow(/train of 4 cores has 3 bond dimensions, found 2: \[16, 100\]/);
    expect(attempt({ bonds: [16, 0, 3] })).toThrow(/bond dimensions must be positive integers, found \[16, 0, 3\]/);
    expect(attempt({ layout: 'tt-matrix', outModes: [8, 8, 8] })).toThrow(/3 out modes .* and 2 in modes/);
    expect(attempt({ layout: 'tt-matrix', bonds: [4, 4, 4] })).toThrow(
      /train of 2 cores has 1 bond dimensions, found 3/,
    );
  });
});

describe('factorisations', () => {
  it('are as balanced as the divisors allow', () => {
    expect(suggestModes(512, 2)).toEqual([16, 32]);
    expect(suggestModes(200, 2)).toEqual([10, 20]);
    expect(suggestModes(25_088, 4)).toEqual([8, 14, 14, 16]);
    expect(suggestModes(13, 2)).toEqual([1, 13]);
    expect(suggestModes(13, 1)).toEqual([13]);
    expect(suggestModes(1, 3)).toEqual([1, 1, 1]);
    expect(() => suggestModes(12, 0)).toThrow(/number of modes must be a positive integer/);
    expect(() => suggestModes(1.5, 2)).toThrow(/size must be a positive integer/);
  });

  it('have the right product and number, near to what was asked', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40_000 }), modes, (size, asked) => {
        const found = findNearestModes(size, asked);
        expect(countElements(found)).toBe(size);
        expect(found.length).toBe(asked.length);
        expect(countElements(suggestModes(size, asked.length))).toBe(size);
        expect(findNearestModes(countElements(asked), asked)).toEqual(asked);
      }),
    );
    expect(findNearestModes(200, [8, 32])).toEqual([8, 25]);
  });
});
