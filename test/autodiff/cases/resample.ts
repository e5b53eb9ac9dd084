import type { resample as specs } from '../../../src/ops/resample.js';
import type { AttributeValues, Op } from '../../../src/ops/table.js';
import { float32 } from '../../../src/tensor/tensor.js';
import { type Cases, constant, fed, type GradientCase, ints } from './support.js';

const scales = (...values: number[]) => constant(float32(values));
const none = constant(float32([]));

const sized = (name: string, attributes: AttributeValues<'Resize'>, notOnRuntime?: string): GradientCase<'Resize'> => ({
  name,
  inputs: [fed([1, 2, 3, 5]), undefined, undefined, ints(1, 2, 5, 4)],
  attributes,
  ...(notOnRuntime ? { notOnRuntime } : {}),
});

const samplings: GradientCase<'GridSample'>[] = ['bilinear', 'nearest', 'bicubic'].flatMap((mode) =>
  ['zeros', 'border', 'reflection'].map((padding_mode, i) => ({
    name: `${mode}, ${padding_mode}`,
    inputs: [fed([2, 2, 3, 4]), fed([2, 2, 3, 2], -1.8, 1.8)],
    attributes: { mode, padding_mode, align_corners: i % 2 },
  })),
);

export const resample: Cases<keyof typeof specs & Op> = {
  Resize: [
    { name: 'nearest, twice as large', inputs: [fed([1, 2, 2, 3]), undefined, scales(1, 1, 2, 2)] },
    sized('nearest, asymmetric', { coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' }),
    sized('linear', { mode: 'linear' }),
    sized('linear, corners aligned', { mode: 'linear', coordinate_transformation_mode: 'align_corners' }),
    sized('linear as PyTorch', { mode: 'linear', coordinate_transformation_mode: 'pytorch_half_pixel' }),
    sized('linear, antialiased', { mode: 'linear', antialias: 1 }),
    sized('cubic', { mode: 'cubic' }),
    sized('cubic, corners aligned', { mode: 'cubic', coordinate_transformation_mode: 'align_corners' }),
    sized('cubic, nothing from outside', { mode: 'cubic', exclude_outside: 1, cubic_coeff_a: -0.5 }),
    {
      name: 'linear, fractional scales',
      inputs: [fed([1, 1, 4, 5]), none, scales(1, 1, 0.6, 1.7)],
      attributes: { mode: 'linear' },
    },
    {
      name: 'a part, extrapolated',
      inputs: [fed([1, 1, 4, 4]), scales(0, 0, -0.2, 0.3, 1, 1, 0.7, 1.3), undefined, ints(1, 1, 3, 5)],
      attributes: { mode: 'linear', coordinate_transformation_mode: 'tf_crop_and_resize', extrapolation_value: 3 },
    },
    {
      name: 'two axes of four',
      inputs: [fed([1, 2, 3, 4]), undefined, undefined, ints(6, 2)],
      attributes: { mode: 'linear', axes: [2, 3] },
    },
  ],
  DepthToSpace: [
    { name: 'channel last', inputs: [fed([1, 8, 2, 3])], attributes: { blocksize: 2 } },
    { name: 'channel first', inputs: [fed([1, 8, 2, 3])], attributes: { blocksize: 2, mode: 'CRD' } },
  ],
  SpaceToDepth: [{ name: 'blocks of 2', inputs: [fed([1, 3, 4, 2])], attributes: { blocksize: 2 } }],
  GridSample: samplings,
};
