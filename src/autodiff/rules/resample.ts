/** Rules of the operators that change the resolution. */
import { computeAxisWeights, computeResizedAxes } from '../../ops/interpolation.js';
import type { resample as specs } from '../../ops/resample.js';
import type { RuleContext, Rules } from '../rule.js';
import { gridSample } from './grid-sample.js';
import { reshapeTo } from './terms.js';
import { multiplyTransposed } from './transposed-product.js';

export const resample: Rules<keyof typeof specs> = {
  // Y = A X along each axis, so dX = A' dY
  Resize({ builder: b, ...c }) {
    const dims = c.dims(c.x(0));
    const [roi, scales, sizes] = [1, 2, 3].map((i) => (c.has(i) ? c.constant(i) : undefined));
    if (!scales?.length && !sizes?.length) throw c.fail('its scales or sizes must be constants.');
    let dX = c.dy;
    for (const resized of computeResizedAxes(c.attributes, dims, { roi, scales, sizes })) {
      const { axis, input, output, scale } = resized;
      if (input === output && scale === 1 && c.attributes.coordinate_transformation_mode !== 'tf_crop_and_resize')
        continue;
      const weights = computeAxisWeights(c.attributes, resized);
      if (typeof weights === 'string') throw c.fail(`${weights} is not known.`);
      dX = multiplyTransposed(b, dX, axis, weights.matrix, input);
    }
    return [dX];
  },
  GridSample: gridSample,
  DepthToSpace: depthToSpace,
  // dX = dY, put back
  SpaceToDepth: ({ builder: b, dy, ...c }) => [b.op('DepthToSpace', [dy], { blocksize: c.attributes.blocksize })],
};

// dX = dY, put back. SpaceToDepth gives the channels of mode DCR, [row, column, channel]; CRD has [channel, row, column]
function depthToSpace({ builder: b, dy, ...c }: RuleContext<'DepthToSpace'>) {
  const { blocksize: block, mode } = c.attributes;
  const back = b.op('SpaceToDepth', [dy], { blocksize: block });
  if (mode !== 'CRD') return [back];
  const dims = c.dims(c.x(0));
  const [batch = 1, channels = 1, ...spatial] = dims;
  const apart = reshapeTo(b, back, [batch, block * block, channels / block ** 2, ...spatial]);
  return [reshapeTo(b, b.op('Transpose', [apart], { perm: [0, 2, 1, 3, 4] }), dims)];
}
