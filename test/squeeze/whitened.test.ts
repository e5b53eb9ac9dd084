import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { matrix } from '../../src/linalg/matrix.js';
import { plainProducts } from '../../src/linalg/products.js';
import { symmetricRoot } from '../../src/linalg/symmetric-root.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { schemes } from '../../src/squeeze/schemes.js';
import { discardedMass, firstStage, outputSpectrum } from '../../src/squeeze/whitened.js';
import { float32 } from '../../src/tensor/tensor.js';
import { onlyLayer } from '../squeeze/support.js';

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
      const stage = await firstStage(gram, whitened, plainProducts);
      const fitted = await schemes.svd.fit(layer, [rank], stage, { gram, output }, {}, plainProducts);
      expect(Math.abs(fitted.loss - loss)).toBeLessThan(GRAM);
      expect(discardedMass(await outputSpectrum(stage, plainProducts))[rank]).toBeCloseTo(loss, 7);
      const found = await fitted.map();
      found.data.forEach((value, i) => {
        expect(Math.abs(value - (map[i] ?? Number.NaN))).toBeLessThan(GRAM);
      });
    },
  );
});
