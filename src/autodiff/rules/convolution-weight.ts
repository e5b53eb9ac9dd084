/**
 * Gradient of a convolution's weights.
 *
 * Y[n, o, p] = sum over c, k of W[o, c, k] X[n, c, s p + d k - pad], so
 * dW[o, c, k] = sum over n, p of dY[n, o, p] X[n, c, s p + d k - pad]: for each kernel offset k one matrix product
 * over all N P output positions. (As a Conv with the batch and channel axes swapped it is several times slower.)
 */
import type { Value } from '../../graph/model.js';
import type { GraphBuilder } from '../../ops/builder.js';
import type { Window } from '../../ops/convolution.js';
import { countElements, range } from '../../tensor/dims.js';
import { padZeros, reshapeTo, sliceAxes } from './terms.js';

/** Dimensions of a convolution `[N, C, spatial…]` → `[N, O, positions…]` with weights `[O, C / group, kernel…]`. */
export interface ConvolutionDims {
  readonly x: readonly number[];
  readonly y: readonly number[];
  readonly w: readonly number[];
}

/** Every offset of a kernel, row-major. */
export function listKernelOffsets(kernel: readonly number[]): number[][] {
  return kernel.reduce<number[][]>(
    (offsets, size) => offsets.flatMap((offset) => range(size).map((i) => [...offset, i])),
    [[]],
  );
}

/** Up to this many input channels, one product an offset would be too narrow to be fast. */
const FEW_CHANNELS = 4;
/** From this many output positions on, a copy of X for each offset costs more than the wider products of shifts. */
const MANY_POSITIONS = 32 * 32;

/** `dW`, with the dimensions of W, by whichever of four equal formulations is fastest for these dimensions. */
export function buildConvolutionWeightGradient(
  builder: GraphBuilder,
  x: Value,
  dy: Value,
  dims: ConvolutionDims,
  window: Window,
  group: number,
): Value {
  const job: WeightGradientInputs = { b: builder, x, dy, dims, window, group };
  const channels = dims.x[1] ?? 1;
  const positions = dims.y.slice(2);
  if (group === 1 && isTiled(job)) return buildFromTiles(job);
  if (group === 1 && channels <= FEW_CHANNELS) return buildFromColumns(job);
  const plain = group === 1 && positions.length === 2 && window.strides.every((stride) => stride === 1);
  return plain && countElements(positions) >= MANY_POSITIONS ? buildFromShifts(job) : buildFromOffsets(job);
}

interface WeightGradientInputs {
  readonly b: GraphBuilder;
  readonly x: Value;
  readonly dy: Value;
  readonly dims: ConvolutionDims;
  readonly window: Window;
  readonly group: number;
}

/** `value` with the window's padding around its spatial axes, which follow `leading` others. */
function padInput({ b, window }: WeightGradientInputs, value: Value, leading: number): Value {
  const rank = window.kernel.length;
  const around = (pads: readonly number[]) => [...range(leading).map(() => 0), ...pads];
  return padZeros(b, value, around(window.pads.slice(0, rank)), around(window.pads.slice(rank)));
}

/** What the kernel's tap at `offset` sees of the padded input, whose spatial axes start at `first`. */
function sliceKernelTap(
  { b, dims, window }: WeightGradientInputs,
  input: Value,
  offset: readonly number[],
  first: number,
): Value {
  const slices = offset.map((k, axis) => ({
    axis: axis + first,
    start: k * (window.dilations[axis] ?? 1),
    count: dims.y[axis + 2] ?? 1,
    step: window.strides[axis] ?? 1,
  }));
  return sliceAxes(b, input, slices);
}

/** The sum over a batch of products `[N, rows, P]` times `[N, columns, P]` transposed: `[rows, columns]`. */
function sumProducts(b: GraphBuilder, left: Value, right: Value): Value {
  const product = b.op('MatMul', [left, b.op('Transpose', [right], { perm: [0, 2, 1] })]);
  return b.op('ReduceSum', [product, b.ints([0])], { keepdims: 0 });
}

/** One product an offset k over the rows (n, p): dW_k = dY' X_k, with channels last and groups as a stack. */
function buildFromOffsets(job: WeightGradientInputs): Value {
  const { b, dims, window, group } = job;
  const [batch = 1, channels = 1, ...spatial] = dims.x;
  const [, outputs = 1, ...positions] = dims.y;
  const [channelsEach, outputsEach] = [channels / group, outputs / group];
  const rank = spatial.length;
  const rows = batch * countElements(positions);
  const stack = group === 1 ? [] : [group];
  // `[group, N, spatial…, C / group]`: a slice is copied in long runs, and its reshape to a matrix costs nothing.
  const parted = reshapeTo(b, job.x, group === 1 ? dims.x : [batch, group, channelsEach, ...spatial]);
  const front = stack.length;
  const perm = [...(front ? [1, 0] : [0]), ...range(rank).map((axis) => axis + 2 + front), 1 + front];
  const last = b.op('Transpose', [padInput(job, parted, 2 + front)], { perm });
  const turned = b.op('Transpose', [job.dy], { perm: [1, 0, ...range(rank).map((axis) => axis + 2)] });
  const dyRows = reshapeTo(b, turned, [...stack, outputsEach, rows]);
  const products = listKernelOffsets(window.kernel).map((offset) => {
    const seen = reshapeTo(b, sliceKernelTap(job, last, offset, 1 + front), [...stack, rows, channelsEach]);
    return reshapeTo(b, b.op('MatMul', [dyRows, seen]), [1, outputs * channelsEach]);
  });
  return reshapeTo(b, b.op('Transpose', [concatValues(b, products, 0)], { perm: [1, 0] }), dims.w);
}

/** Whether the windows lie side by side and cover the input, as those of patch embeddings do. */
function isTiled({ dims, window }: WeightGradientInputs): boolean {
  // Of one tap there is nothing to turn.
  if (countElements(window.kernel) === 1) return false;
  return window.kernel.every(
    (size, axis) =>
      size === window.strides[axis] &&
      size * (dims.y[axis + 2] ?? 0) === dims.x[axis + 2] &&
      (size === 1 || window.dilations[axis] === 1) &&
      window.pads[axis] === 0 &&
      window.pads[axis + window.kernel.length] === 0,
  );
}

/** Each tap sees every input position once: one product, and X is only turned. */
function buildFromTiles({ b, x, dy, dims, window }: WeightGradientInputs): Value {
  const [batch = 1, channels = 1] = dims.x;
  const [, outputs = 1, ...positions] = dims.y;
  const rank = positions.length;
  // [N, C, p1, k1, p2, k2, …] → [N, p1, p2, …, C, k1, k2, …]
  const split = positions.flatMap((count, axis) => [count, window.kernel[axis] ?? 1]);
  const perm = [0, ...range(rank).map((axis) => 2 * axis + 2), 1, ...range(rank).map((axis) => 2 * axis + 3)];
  const rows = batch * countElements(positions);
  const tiles = b.op('Transpose', [reshapeTo(b, x, [batch, channels, ...split])], { perm });
  const turned = b.op('Transpose', [dy], { perm: [1, 0, ...range(rank).map((axis) => axis + 2)] });
  const product = b.op('MatMul', [
    reshapeTo(b, turned, [outputs, rows]),
    reshapeTo(b, tiles, [rows, channels * countElements(window.kernel)]),
  ]);
  return reshapeTo(b, product, dims.w);
}

/** All offsets in one product an image: dW = sum over n of dY_n (X_n for every k)'. */
function buildFromColumns(job: WeightGradientInputs): Value {
  const { b, dims, window } = job;
  const [batch = 1, channels = 1] = dims.x;
  const [, outputs = 1, ...positions] = dims.y;
  const count = countElements(positions);
  const x = padInput(job, job.x, 2);
  const offsets = listKernelOffsets(window.kernel);
  const columns = concatValues(
    b,
    offsets.map((offset) => sliceKernelTap(job, x, offset, 2)),
    1,
  );
  const sum = sumProducts(
    b,
    reshapeTo(b, job.dy, [batch, outputs, count]),
    reshapeTo(b, columns, [batch, offsets.length * channels, count]),
  );
  const byOffset = reshapeTo(b, sum, [outputs, offsets.length, channels]);
  return reshapeTo(b, b.op('Transpose', [byOffset], { perm: [0, 2, 1] }), dims.w);
}

/**
 * Offsets (i, j) split between the two sides: dY shifted down by i rows meets X shifted left by j columns. For a 3×3
 * kernel that is three copies of each instead of nine of X, and one wide product an image.
 */
function buildFromShifts(job: WeightGradientInputs): Value {
  const { b, dims, window } = job;
  const [batch = 1, channels = 1] = dims.x;
  const [, outputs = 1, height = 1, width = 1] = dims.y;
  const [rows = 1, columns = 1] = window.kernel;
  const [down = 1, across = 1] = window.dilations;
  const room = (rows - 1) * down;
  const tall = height + room;
  const tallDy = padZeros(b, job.dy, [0, 0, room, 0], [0, 0, room, 0]);
  const wideX = padInput(job, job.x, 2);
  const shiftedDy = range(rows).map((i) => sliceAxes(b, tallDy, [{ axis: 2, start: room - i * down, count: tall }]));
  const shiftedX = range(columns).map((j) => sliceAxes(b, wideX, [{ axis: 3, start: j * across, count: width }]));
  const sum = sumProducts(
    b,
    reshapeTo(b, concatValues(b, shiftedDy, 1), [batch, rows * outputs, tall * width]),
    reshapeTo(b, concatValues(b, shiftedX, 1), [batch, columns * channels, tall * width]),
  );
  const byOffset = reshapeTo(b, sum, [rows, outputs, columns, channels]);
  return b.op('Transpose', [byOffset], { perm: [1, 3, 0, 2] });
}

function concatValues(b: GraphBuilder, values: readonly Value[], axis: number): Value {
  const [only] = values;
  return values.length === 1 && only ? only : b.op('Concat', values, { axis });
}
