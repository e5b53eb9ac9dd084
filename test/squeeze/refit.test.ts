import fc from 'fast-check';
import { expect, it } from 'vitest';
import { samplesOf } from '../../src/squeeze/refit.js';
import { oneConvolution, onlyLayer } from './support.js';

it('takes as many samples as are wanted or there are, of more images than that takes', () => {
  const layer = onlyLayer(oneConvolution([4, 3, 3, 3], [18, 18]));
  const positions = 16 * 16;
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1e6 }), fc.integer({ min: 1, max: 5000 }), (samples, available) => {
      const { images, perImage } = samplesOf(layer, samples, available);
      expect(images).toBeLessThanOrEqual(available);
      expect(perImage).toBeLessThanOrEqual(positions);
      expect(images * perImage).toBeGreaterThanOrEqual(Math.min(samples, available * positions));
      expect(images).toBeGreaterThanOrEqual(Math.min(available, Math.ceil(samples / positions)));
    }),
  );
  // Inputs and outputs of an image take 8 kB, so that there is room for all of them.
  expect(samplesOf(layer, 1000, 500)).toEqual({ images: 500, perImage: 2 });
});
