/**
 * Resize as one matrix an axis: Y = A1 X A2' …, where row o of a matrix holds how much each input position gives to
 * output position o. Source: the operator's text in the ONNX specification, operator set 18.
 */
import { normalizeAxis, range } from '../tensor/dims.js';

/** The attributes of Resize that decide its weights. */
export interface Interpolation {
  readonly antialias: number;
  readonly axes: readonly number[] | undefined;
  readonly coordinate_transformation_mode: string;
  readonly cubic_coeff_a: number;
  readonly exclude_outside: number;
  readonly keep_aspect_ratio_policy: string;
  readonly mode: string;
  readonly nearest_mode: string;
}

/** How one axis is resized. */
export interface ResizedAxis {
  readonly axis: number;
  readonly input: number;
  readonly output: number;
  /** Output over input size, as given: `output / input` differs where the given one does not divide evenly. */
  readonly scale: number;
  /** The part of the axis that `tf_crop_and_resize` looks at, 0 to 1. */
  readonly roi: readonly [number, number];
}

/** The axes that a Resize node changes or may change, from its constant inputs. Empty inputs count as left out. */
export function computeResizedAxes(
  attributes: Interpolation,
  dims: readonly number[],
  inputs: {
    readonly roi?: readonly number[] | undefined;
    readonly scales?: readonly number[] | undefined;
    readonly sizes?: readonly number[] | undefined;
  },
): ResizedAxis[] {
  const axes = attributes.axes?.map((axis) => normalizeAxis(axis, dims.length)) ?? range(dims.length);
  const { roi } = inputs;
  const sizes = inputs.sizes?.length ? inputs.sizes : undefined;
  const given = (i: number): number => (sizes?.[i] ?? 1) / (dims[axes[i] ?? 0] ?? 1);
  const policy = attributes.keep_aspect_ratio_policy;
  const ratios = range(axes.length).map(given);
  const common =
    policy === 'not_larger' ? Math.min(...ratios) : policy === 'not_smaller' ? Math.max(...ratios) : undefined;
  return axes.map((axis, i) => {
    const input = dims[axis] ?? 1;
    const kept = common !== undefined && sizes ? Math.floor(common * input + 0.5) : undefined;
    const scale = sizes ? (common ?? given(i)) : (inputs.scales?.[i] ?? 1);
    return {
      axis,
      input,
      output: kept ?? sizes?.[i] ?? Math.floor(input * scale),
      scale,
      roi: [roi?.[i] ?? 0, roi?.[i + axes.length] ?? 1],
    };
  });
}

/** Where output position o lies among the input positions; `undefined` for a mode that does not exist. */
function makeCoordinateMap(
  mode: string,
  { input, output, scale, roi }: ResizedAxis,
): ((o: number) => number) | undefined {
  switch (mode) {
    case 'half_pixel':
      return (o) => (o + 0.5) / scale - 0.5;
    case 'pytorch_half_pixel':
      return (o) => (output > 1 ? (o + 0.5) / scale - 0.5 : 0);
    case 'half_pixel_symmetric': {
      const offset = (input / 2) * (1 - output / (input * scale));
      return (o) => offset + (o + 0.5) / scale - 0.5;
    }
    case 'align_corners':
      return (o) => (output > 1 ? (o * (input - 1)) / (output - 1) : 0);
    case 'asymmetric':
      return (o) => o / scale;
    case 'tf_crop_and_resize': {
      const [start, end] = roi;
      const [from, extent] = [start * (input - 1), (end - start) * (input - 1)];
      return (o) => (output > 1 ? from + (o * extent) / (output - 1) : 0.5 * (start + end) * (input - 1));
    }
    default:
      return undefined;
  }
}

/** Which position is the nearest; in ONNX's four ways. */
const roundings: Readonly<Record<string, (x: number) => number>> = {
  round_prefer_floor: (x) => Math.ceil(x - 0.5),
  round_prefer_ceil: (x) => Math.floor(x + 0.5),
  floor: Math.floor,
  ceil: Math.ceil,
};

/** The kernels by distance, and how far they reach. */
function makeInterpolationKernel(
  mode: string,
  a: number,
): { readonly reach: number; weight(distance: number): number } | undefined {
  if (mode === 'linear') return { reach: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) };
  if (mode !== 'cubic') return undefined;
  return {
    reach: 2,
    weight(distance) {
      const x = Math.abs(distance);
      if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
      return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
    },
  };
}

/** The matrix of one axis. */
export interface AxisWeights {
  /** `[output, input]`, row-major. */
  readonly matrix: readonly number[];
  /** Output positions that lie outside of the input and take `extrapolation_value`: their rows are zero. */
  readonly outside: ReadonlySet<number>;
}

/** The weights of one axis, or what in the attributes is not known. */
export function computeAxisWeights(attributes: Interpolation, axis: ResizedAxis): AxisWeights | string {
  const { input, output, scale } = axis;
  const coordinate = makeCoordinateMap(attributes.coordinate_transformation_mode, axis);
  if (!coordinate) return `the coordinate_transformation_mode "${attributes.coordinate_transformation_mode}"`;
  const round = roundings[attributes.nearest_mode];
  if (!round) return `the nearest_mode "${attributes.nearest_mode}"`;
  const kernel = makeInterpolationKernel(attributes.mode, attributes.cubic_coeff_a);
  if (!kernel && attributes.mode !== 'nearest') return `the mode "${attributes.mode}"`;
  const matrix = new Array<number>(output * input).fill(0);
  const outside = new Set<number>();
  // Antialiasing widens the kernel to what an output position covers when it shrinks.
  const widened = attributes.antialias ? Math.min(1, scale) : 1;
  const inside = (i: number) => Math.min(Math.max(i, 0), input - 1);
  for (let o = 0; o < output; o++) {
    const x = coordinate(o);
    if (attributes.coordinate_transformation_mode === 'tf_crop_and_resize' && (x < 0 || x > input - 1)) {
      outside.add(o);
      continue;
    }
    if (!kernel) {
      matrix[o * input + inside(round(x))] = 1;
      continue;
    }
    const reach = kernel.reach / widened;
    let total = 0;
    for (let i = Math.ceil(x - reach); i <= Math.floor(x + reach); i++) {
      const excluded = attributes.exclude_outside && inside(i) !== i;
      const weight = excluded ? 0 : kernel.weight((i - x) * widened);
      total += weight;
      matrix[o * input + inside(i)] = (matrix[o * input + inside(i)] ?? 0) + weight;
    }
    for (let i = 0; i < input; i++) matrix[o * input + i] = (matrix[o * input + i] ?? 0) / total;
  }
  return { matrix, outside };
}
