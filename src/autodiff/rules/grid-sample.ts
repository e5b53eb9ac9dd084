/**
 * The rule of GridSample. With Y = sum over taps k of w_k X[i_k], as `ops/grid-sampling.ts` defines:
 * dX[i_k] += w_k dY, dGrid = sum over channels and taps of dw_k/dgrid X[i_k] dY. At the pixels themselves, where floor
 * jumps, the slope is that of the side with larger positions, as in PyTorch.
 */
import type { Value } from '../../graph/model.js';
import type { GraphBuilder } from '../../ops/builder.js';
import { computePixelScale, computeReflection, findSamplingTaps, type Tap } from '../../ops/grid-sampling.js';
import { countElements } from '../../tensor/dims.js';
import type { RuleContext } from '../rule.js';
import { castLike, constantLike, keepWhere, numberLike, reshapeTo, scaleBy, sliceAxes, zerosLike } from './terms.js';

/** The taps of one axis, with an axis of their own. */
interface AxisTaps {
  /** Positions of pixels, whole numbers in the element type of the grid. */
  readonly pixel: Value;
  readonly weight: Value;
  /** The weight's derivative by the position from -1 to 1. */
  readonly slope: Value;
}

interface Sampling {
  readonly nearest: boolean;
  readonly padding: string;
  readonly aligned: boolean;
  readonly taps: readonly Tap[];
}

/** The pixel that stands for each one, where it may lie beyond the border. */
function padPixels(b: GraphBuilder, pixel: Value, size: number, { padding, aligned }: Sampling): Value {
  const like = (number: number) => numberLike(b, number, pixel);
  let inside = pixel;
  if (padding === 'reflection') {
    const { period, sum } = computeReflection(size, aligned);
    const turns = b.op('Floor', [b.op('Div', [pixel, like(period)])]);
    const rest = b.op('Sub', [pixel, scaleBy(b, turns, period)]);
    inside = b.op('Where', [b.op('Less', [rest, like(size)]), rest, b.op('Sub', [like(sum), rest])]);
  }
  return b.op('Clip', [inside, like(0), like(size - 1)]);
}

/** The taps along an axis of `size` pixels for positions `[N, 1, 1, 1, P]`; `shape` broadcasts the axis of taps. */
function buildAxisTaps(
  b: GraphBuilder,
  grid: Value,
  size: number,
  sampling: Sampling,
  shape: readonly number[],
): AxisTaps {
  const { taps, nearest, aligned, padding } = sampling;
  const { scale, shift } = computePixelScale(size, aligned);
  const constants = (values: readonly number[]) => constantLike(b, values, shape, grid);
  const x = b.op('Add', [scaleBy(b, grid, scale), numberLike(b, shift, grid)]);
  const first = b.op(nearest ? 'Round' : 'Floor', [x]);
  const t = b.op('Sub', [x, first]);
  const pixel = b.op('Add', [first, constants(taps.map(({ offset }) => offset))]);
  const [c0, c1, c2, c3] = [0, 1, 2, 3].map((k) => taps.map(({ weight }) => weight[k] ?? 0)) as [
    number[],
    number[],
    number[],
    number[],
  ];
  /** The polynomial of t with these coefficients, the highest first. */
  const polynomial = ([highest, ...rest]: readonly (readonly number[])[]) =>
    rest.reduce((sum, next) => b.op('Add', [b.op('Mul', [sum, t]), constants(next)]), constants(highest ?? []));
  const times = (factor: number, values: readonly number[]) => values.map((value) => factor * value);
  let weight = polynomial([c3, c2, c1, c0]);
  let slope = polynomial([times(3 * scale, c3), times(2 * scale, c2), times(scale, c1)]);
  if (padding === 'zeros') {
    const above = b.op('GreaterOrEqual', [pixel, numberLike(b, 0, pixel)]);
    const inside = b.op('And', [above, b.op('LessOrEqual', [pixel, numberLike(b, size - 1, pixel)])]);
    [weight, slope] = [keepWhere(b, inside, weight), keepWhere(b, inside, slope)];
  }
  return { pixel: padPixels(b, pixel, size, sampling), weight, slope };
}

/** See the top of this file. */
export function gridSample({ builder: b, dy, ...c }: RuleContext<'GridSample'>): (Value | undefined)[] {
  const { mode, padding_mode: padding, align_corners } = c.attributes;
  const taps = findSamplingTaps(mode);
  if (!taps) throw c.fail(`there is no mode "${mode}".`);
  const sampling: Sampling = { nearest: mode === 'nearest', padding, aligned: align_corners === 1, taps };
  const [x, grid] = [c.x(0), c.x(1)];
  const [dims, gridDims] = [c.dims(x), c.dims(grid)];
  const [batch = 1, channels = 1, rows = 1, columns = 1] = dims;
  const positions = countElements(gridDims.slice(1, 3));
  const count = taps.length;
  const along = (axis: number) =>
    reshapeTo(b, sliceAxes(b, grid, [{ axis: 3, start: axis, count: 1 }]), [batch, 1, 1, 1, positions]);
  const across = buildAxisTaps(b, along(0), columns, sampling, [count, 1]);
  const down = buildAxisTaps(b, along(1), rows, sampling, [count, 1, 1]);

  // Taps of both axes and positions as one list of picked pixels.
  const list = count * count * positions;
  const flat = (value: Value) => reshapeTo(b, value, [batch, 1, list]);
  const pixel = flat(b.op('Add', [scaleBy(b, down.pixel, columns), across.pixel]));
  const wide = b.ints([batch, channels, list]);
  const indices = b.op('Expand', [b.op('Cast', [pixel], { to: 7 }), wide]);
  const repeated = b.op('Expand', [
    reshapeTo(b, dy, [batch, channels, 1, positions]),
    b.ints([batch, channels, count * count, positions]),
  ]);
  const gradient = reshapeTo(b, repeated, [batch, channels, list]);

  let dX: Value | undefined;
  if (c.needs(0)) {
    const weight = castLike(b, flat(b.op('Mul', [down.weight, across.weight])), dy);
    const into = zerosLike(b, [batch, channels, rows * columns], dy);
    const updates = b.op('Mul', [gradient, weight]);
    dX = reshapeTo(b, b.op('ScatterElements', [into, indices, updates], { axis: 2, reduction: 'add' }), dims);
  }
  if (!c.needs(1)) return [dX];
  if (sampling.nearest) return [dX, zerosLike(b, gridDims, grid)];
  const picked = b.op('GatherElements', [reshapeTo(b, x, [batch, channels, rows * columns]), indices], { axis: 2 });
  const change = b.op('ReduceSum', [b.op('Mul', [picked, gradient]), b.ints([1])], { keepdims: 1 });
  const perTap = castLike(b, reshapeTo(b, change, [batch, 1, count, count, positions]), grid);
  const moved = (slope: Value, weight: Value) => {
    const sum = b.op('Mul', [perTap, b.op('Mul', [slope, weight])]);
    return reshapeTo(b, b.op('ReduceSum', [sum, b.ints([1, 2, 3])], { keepdims: 0 }), [...gridDims.slice(0, 3), 1]);
  };
  const both = [moved(across.slope, down.weight), moved(down.slope, across.weight)];
  return [dX, b.op('Concat', both, { axis: 3 })];
}
