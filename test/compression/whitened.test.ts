import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  computeOutputSpectrum,
  createMapRegression,
  sumDiscardedEnergy,
} from '../../src/compression/schemes/layer-metric.js';
import { schemes } from '../../src/compression/schemes/scheme-table.js';
import {
  computeTrace,
  createMatrixMoments,
  withDamping,
} from '../../src/compression/statistics/second-moment-matrix.js';
import { matrix } from '../../src/linalg/matrix.js';
import { plainProducts } from '../../src/linalg/products.js';
import { symmetricRoot } from '../../src/linalg/symmetric-root.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { float32 } from '../../src/tensor/tensor.js';
import { moments, onlyLayer } from './support.js';

const numbers = z.array(z.number()).transform((values) => Float64Array.from(values));
const golden = z
  .object({
    inputs: z.number(),
    outputs: z.number(),
    weight: numbers,
    gram: numbers,
    gradients: numbers,
    truncations: z.array(z.object({ rank: z.number(), loss: z.number(), map: numbers })),
  })
  .parse(JSON.parse(readFileSync(new URL('../golden/squeeze/whitened.json', import.meta.url), 'utf8')));

/** Gram matrices keep half of the digits of singular vectors; losses are sums of their squares. */
const GRAM = 1e-7;

describe('truncation in a metric', () => {
  const { inputs, outputs, truncations } = golden;
  const weight = matrix(inputs, outputs, golden.weight);
  const gram = matrix(inputs, inputs, golden.gram);

  it.each(truncations)(
    'is what NumPy’s SVD of the whitened weight gives at rank $rank',
    async ({ rank, loss, map }) => {
      const b = new GraphBuilder();
      const x = b.input('input', 'float32', ['N', inputs]);
      const w = b.initializer('fc.weight', float32(golden.weight, [inputs, outputs]));
      b.output(b.op('MatMul', [x, w], {}, { name: 'fc' }));
      const layer = onlyLayer(b.build('linear'));
      const output = await symmetricRoot(matrix(outputs, outputs, golden.gradients), plainProducts);
      const whitened = await plainProducts.multiply(weight, output.root, {});
      const stage = await createMapRegression(createMatrixMoments(gram, plainProducts), whitened);
      const fitted = await schemes.svd.fit(layer, [rank], stage, output, {}, plainProducts);
      expect(Math.abs(fitted.loss - loss)).toBeLessThan(GRAM);
      expect(sumDiscardedEnergy(await computeOutputSpectrum(stage, plainProducts))[rank]).toBeCloseTo(loss, 7);
      const found = await fitted.computeMap();
      found.data.forEach((value, i) => {
        expect(Math.abs(value - (map[i] ?? Number.NaN))).toBeLessThan(GRAM);
      });
    },
  );
});

describe('damped', () => {
  it('adds to each variance its own share in any units, and a millionth of the share of their mean', () => {
    const gram = moments(6, 3);
    const units = [1, 1e3, 1e-2, 1, 30, 1e-3];
    const scaled = (a: typeof gram) =>
      matrix(
        6,
        6,
        a.data.map((value, at) => value * (units[Math.floor(at / 6)] ?? 0) * (units[at % 6] ?? 0)),
      );
    const [a, own] = [scaled(gram), scaled(withDamping(gram, 0.01, 'moments'))];
    const found = withDamping(a, 0.01, 'moments');
    const [mean, meanBefore] = [computeTrace(a) / 6, computeTrace(gram) / 6];
    for (const [at, value] of found.data.entries()) {
      const unit = units[at % 6] ?? Number.NaN;
      const least = at % 7 === 0 ? 0.01 * 1e-6 * (mean - meanBefore * unit ** 2) : 0;
      const expected = (own.data[at] ?? Number.NaN) + least;
      expect(Math.abs(value - expected)).toBeLessThanOrEqual(1e-12 * Math.abs(expected));
    }
  });

  it('gives inputs that never varied a price, and refuses what is not finite', () => {
    const dead = withDamping(matrix(2, 2, Float64Array.of(4, 0, 0, 0)), 1e-4, 'moments');
    // A millionth of the share 1e-4 of the mean 2.
    expect(dead.data[3]).toBeCloseTo(2e-10, 22);
    expect(withDamping(matrix(1, 1), 1e-4, 'moments').data[0]).toBe(1);
    expect(() => withDamping(matrix(1, 1, Float64Array.of(Number.NaN)), 1e-4, 'The moments')).toThrow(
      'The moments hold NaN or infinite values',
    );
  });
});
