import { divideDims, isStatic, multiplyDims } from '../graph/dims.js';
import type { Dim } from '../graph/model.js';
import { normalizeAxis, range } from '../tensor/dims.js';
import { samplingModes, samplingPaddings } from './grid-sampling.js';
import { computeResizedAxes } from './interpolation.js';
import { defineOp, float, int, ints, makeValueType, requiredInt, string } from './spec.js';

const resizeAttributes = {
  antialias: int(0),
  axes: ints,
  coordinate_transformation_mode: string('half_pixel'),
  cubic_coeff_a: float(-0.75),
  exclude_outside: int(0),
  extrapolation_value: float(0),
  keep_aspect_ratio_policy: string('stretch'),
  mode: string('nearest'),
  nearest_mode: string('round_prefer_floor'),
};

/** Operators that change the resolution, `[N, C, spatial…]`. */
export const resample = {
  /** Inputs: X, the region of interest, scales, sizes; one of the last two. */
  Resize: defineOp({
    attributes: resizeAttributes,
    inputs: [1, 4],
    infer(c) {
      const { dtype, dims } = c.type(0);
      const [scales, sizes] = [c.constant(2), c.dimensions(3)];
      const axes = c.attributes.axes?.map((axis) => normalizeAxis(axis, dims.length)) ?? range(dims.length);
      if (!scales?.length && !sizes?.length) {
        return [
          makeValueType(
            dtype,
            dims.map((dim, axis): Dim => (axes.includes(axis) ? '?' : dim)),
          ),
        ];
      }
      const count = sizes?.length || scales?.length;
      if (count !== axes.length) throw c.fail(`it has ${count} scales or sizes for ${axes.length} axes.`);
      const out: Dim[] = [...dims];
      if (isStatic(dims) && (!sizes || isStatic(sizes))) {
        const resized = computeResizedAxes(c.attributes, dims, {
          scales,
          sizes: sizes && isStatic(sizes) ? sizes : undefined,
        });
        for (const { axis, output } of resized) out[axis] = output;
        return [makeValueType(dtype, out)];
      }
      for (const [i, axis] of axes.entries()) {
        const size = dims[axis] ?? 1;
        if (sizes?.length) out[axis] = c.attributes.keep_aspect_ratio_policy === 'stretch' ? (sizes[i] ?? '?') : '?';
        else if (scales?.[i] !== 1) out[axis] = typeof size === 'number' ? Math.floor(size * (scales?.[i] ?? 1)) : '?';
      }
      return [makeValueType(dtype, out)];
    },
  }),
  /** Inputs: X `[N, C, H, W]` and positions `[N, H', W', 2]`, x before y, from -1 to 1. */
  GridSample: defineOp({
    attributes: { align_corners: int(0), mode: string('bilinear'), padding_mode: string('zeros') },
    inputs: [2, 2],
    infer(c) {
      const [{ dtype, dims }, grid] = [c.type(0), c.type(1)];
      if (dims.length !== 4 || grid.dims.length !== 4 || grid.dims[3] !== 2) {
        throw c.fail("it takes images [N, C, H, W] and positions [N, H', W', 2].");
      }
      const { mode, padding_mode: padding } = c.attributes;
      if (!samplingModes.includes(mode)) throw c.fail(`there is no mode "${mode}".`);
      if (!samplingPaddings.includes(padding)) throw c.fail(`there is no padding_mode "${padding}".`);
      return [makeValueType(dtype, [dims[0] ?? 1, dims[1] ?? 1, grid.dims[1] ?? 1, grid.dims[2] ?? 1])];
    },
  }),
  DepthToSpace: defineOp({
    attributes: { blocksize: requiredInt, mode: string('DCR') },
    inputs: [1, 1],
    infer(c) {
      const { dtype, dims } = c.type(0);
      const { blocksize: block } = c.attributes;
      const [batch = 1, channels = 1, ...spatial] = dims;
      const fewer = divideDims(channels, block ** spatial.length);
      if (fewer === undefined) throw c.fail(`its channels do not divide into blocks of ${block}.`);
      return [makeValueType(dtype, [batch, fewer, ...spatial.map((size) => multiplyDims([size, block]))])];
    },
  }),
  SpaceToDepth: defineOp({
    attributes: { blocksize: requiredInt },
    inputs: [1, 1],
    infer(c) {
      const { dtype, dims } = c.type(0);
      const { blocksize: block } = c.attributes;
      const [batch = 1, channels = 1, ...spatial] = dims;
      const fewer = spatial.map((size) => {
        const blocks = divideDims(size, block);
        if (blocks === undefined && typeof size === 'number')
          throw c.fail(`${size} does not divide into blocks of ${block}.`);
        return blocks ?? '?';
      });
      return [makeValueType(dtype, [batch, multiplyDims([channels, block ** spatial.length]), ...fewer])];
    },
  }),
};
