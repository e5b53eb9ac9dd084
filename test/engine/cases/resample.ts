import type { resample as specs } from '../../../src/ops/resample.js';
import type { AttributeValues, Op } from '../../../src/ops/table.js';
import { float32 } from '../../../src/tensor/tensor.js';
import { type Case, type Cases, constant, fed, ints } from './support.js';

const scales = (...values: number[]) => constant(float32(values));

const transformations = ['half_pixel', 'pytorch_half_pixel', 'align_corners', 'asymmetric', 'half_pixel_symmetric'];

const resized = (attributes: AttributeValues<'Resize'>): Case<'Resize'>[] => [
  { inputs: [fed([1, 2, 3, 5]), undefined, undefined, ints(1, 2, 7, 4)], attributes },
  { inputs: [fed([1, 1, 4, 2]), undefined, scales(1, 1, 2, 3)], attributes },
  { inputs: [fed([1, 1, 4, 5]), undefined, scales(1, 1, 0.6, 1.5)], attributes },
];

/** Positions inside and far outside of the image, in every mode. */
const samplings: Case<'GridSample'>[] = ['bilinear', 'nearest', 'bicubic'].flatMap((mode) =>
  ['zeros', 'border', 'reflection'].flatMap((padding_mode) =>
    [0, 1].map((align_corners) => ({
      inputs: [fed([2, 3, 4, 5]), fed([2, 3, 6, 2], -1.7, 1.7)],
      attributes: { mode, padding_mode, align_corners },
    })),
  ),
);

export const resample: Cases<keyof typeof specs & Op> = {
  Resize: [
    ...transformations.flatMap((coordinate_transformation_mode) =>
      ['nearest', 'linear', 'cubic'].flatMap((mode) => resized({ mode, coordinate_transformation_mode })),
    ),
    ...['round_prefer_ceil', 'floor', 'ceil'].flatMap((nearest_mode) =>
      resized({ nearest_mode, coordinate_transformation_mode: 'asymmetric' }),
    ),
    ...resized({ mode: 'cubic', exclude_outside: 1, cubic_coeff_a: -0.5 }),
    ...['linear', 'cubic'].map((mode) => ({
      inputs: [fed([1, 2, 8, 9]), undefined, undefined, ints(1, 2, 3, 4)],
      attributes: { mode, antialias: 1 },
    })),
    {
      inputs: [fed([1, 1, 4, 4]), scales(0, 0, -0.2, 0.3, 1, 1, 0.7, 1.3), undefined, ints(1, 1, 3, 5)],
      attributes: { mode: 'linear', coordinate_transformation_mode: 'tf_crop_and_resize', extrapolation_value: 3 },
    },
    { inputs: [fed([1, 2, 3, 4]), undefined, undefined, ints(6, 2)], attributes: { mode: 'linear', axes: [2, 3] } },
    {
      inputs: [fed([1, 2, 4, 6]), undefined, undefined, ints(6, 7)],
      attributes: { axes: [2, 3], keep_aspect_ratio_policy: 'not_larger' },
    },
    {
      inputs: [fed([1, 2, 4, 6]), undefined, undefined, ints(6, 7)],
      attributes: { axes: [2, 3], keep_aspect_ratio_policy: 'not_smaller' },
    },
  ],
  DepthToSpace: [
    { inputs: [fed([2, 8, 2, 3])], attributes: { blocksize: 2 } },
    { inputs: [fed([1, 18, 2, 1])], attributes: { blocksize: 3, mode: 'CRD' } },
  ],
  SpaceToDepth: [{ inputs: [fed([2, 3, 4, 6])], attributes: { blocksize: 2 } }],
  GridSample: samplings,
};

/** Their results are made of given elements: engines must agree to the bit. */
export const exact: readonly Op[] = ['DepthToSpace', 'SpaceToDepth'];
