import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { buildLayerNetwork, planFactorised, planReconstructed } from '../../src/decompose/contraction.js';
import { decomposeWeight, fromTrainOrder, reconstructWeight, toTrainOrder } from '../../src/decompose/tt-weight.js';
import { matrix } from '../../src/linalg/matrix.js';
import { plainProducts } from '../../src/linalg/products.js';
import { countElements } from '../../src/tensor/dims.js';
import { distance, golden, naiveProduct, norm, ROUNDING, randomMatrix } from '../linalg/support.js';
import { evaluatePlan } from './evaluate-plan.js';

const layers = fc
  .record({
    layout: fc.constantFrom('tt' as const, 'tt-matrix' as const),
    outModes: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 3 }),
    inModes: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 3 }),
    bonds: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 5, maxLength: 5 }),
    full: fc.boolean(),
    seed: fc.nat(),
  })
  .map(({ layout, outModes, inModes, bonds, full, seed }) => {
    const paired = layout === 'tt-matrix';
    const ins = paired ? outModes.map((_, k) => inModes[k % inModes.length] ?? 1) : inModes;
    const count = paired ? outModes.length : outModes.length + ins.length;
    return {
      request: { layout, outModes, inModes: ins, ...(full ? {} : { bonds: bonds.slice(0, count - 1) }) },
      seed,
    };
  });

describe('decomposeWeight', () => {
  it.each(golden.paired)('pairs rows and columns as the reference does: $outModes × $inModes', async (expected) => {
    const { outModes, inModes, bonds } = expected;
    const weight = matrix(countElements(outModes), countElements(inModes), Float64Array.from(expected.values));
    const { shape, train } = await decomposeWeight(
      'fc',
      weight,
      { layout: 'tt-matrix', outModes, inModes, bonds },
      plainProducts,
    );
    const cores = train.cores.map(({ data }) => data);
    expect(distance(await reconstructWeight(shape, cores, plainProducts), expected.approximation)).toBeLessThan(1e-8);
    expect(Math.abs(train.absoluteError - expected.error)).toBeLessThan(ROUNDING * 10 * train.norm);
    expect(Math.abs(train.absoluteBound - expected.bound)).toBeLessThan(ROUNDING * 10 * train.norm);
  });

  it('makes a layer whose plans both compute y = x Wᵀ, for every layout, modes and bonds', async () => {
    await fc.assert(
      fc.asyncProperty(layers, fc.integer({ min: 1, max: 3 }), async ({ request, seed }, batch) => {
        const weight = randomMatrix(countElements(request.outModes), countElements(request.inModes), seed, 0);
        const before = weight.data.slice();
        const { shape, train } = await decomposeWeight('fc', weight, request, plainProducts);
        const dense = await reconstructWeight(
          shape,
          train.cores.map(({ data }) => data),
          plainProducts,
        );
        const error = distance(dense, weight.data);
        expect(Math.abs(error - train.absoluteError)).toBeLessThan(ROUNDING * (1 + train.norm));
        if (!request.bonds) expect(error).toBe(0);
        expect(weight.data).toEqual(before);

        const x = randomMatrix(batch, weight.cols, seed, 1);
        const expected = naiveProduct(x, matrix(weight.rows, weight.cols, dense), false, true).data;
        const network = buildLayerNetwork(shape, batch);
        const cores = network.cores.map(({ indices }, k) => ({
          indices,
          data: train.cores[k]?.data ?? new Float64Array(),
        }));
        const input = { indices: network.input.indices, data: x.data };
        const factored = evaluatePlan(planFactorised(shape, batch), [input, ...cores], network.sizes, network.output);
        expect(distance(factored, expected)).toBeLessThan(ROUNDING * (1 + norm(expected)));
        const rebuilt = evaluatePlan(planReconstructed(shape), cores, network.sizes, network.weight);
        expect(distance(rebuilt, dense)).toBeLessThan(ROUNDING * (1 + train.norm));
      }),
      { numRuns: 100 },
    );
  });

  it('refuses modes that do not fit the weight', async () => {
    const request = { layout: 'tt' as const, outModes: [2, 3], inModes: [2, 5] };
    await expect(decomposeWeight('fc', matrix(6, 12), request, plainProducts)).rejects.toThrow(
      /Layer "fc": the product of the in modes must be its 12 input features/,
    );
  });
});

it('the order of a train and that of a weight are each other’s inverse', () => {
  fc.assert(
    fc.property(layers, ({ request, seed }) => {
      const { data } = randomMatrix(countElements(request.outModes), countElements(request.inModes), seed);
      expect(fromTrainOrder(toTrainOrder(data, request), request)).toEqual(data);
    }),
  );
  // W[(o1 o2), (i1 i2)] to [o1 i1, o2 i2], each value saying its place.
  const weight = Float64Array.from({ length: 36 }, (_, at) => at);
  const paired = toTrainOrder(weight, { layout: 'tt-matrix', outModes: [2, 3], inModes: [3, 2] });
  expect([...paired.subarray(0, 8)]).toEqual([0, 1, 6, 7, 12, 13, 2, 3]);
});
