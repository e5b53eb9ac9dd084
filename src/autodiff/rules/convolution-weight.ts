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
import { range, sizeOf } from '../../tensor/dims.js';
import { reshaped, sliced, zeroPadded } from './terms.js';

/** Dimensions of a convolution `[N, C, spatial…]` → `[N, O, positions…]` with weights `[O, C / group, kernel…]`. */
export interface ConvolutionDims {
  readonly x: readonly number[];
  readonly y: readonly number[];
  readonly w: readonly number[];
}

/** Every offset of a kernel, row-major. */
export function kernelOffsets(kernel: readonly number[]): number[][] {
  return kernel.reduce<number[][]>(
    (offsets, size) => offsets.flatMap((offset) => range(size).map((i) => [...offset, i])),
    [[]],
  );
}

/** `dW`, with the dimensions of W. */
export function convolutionWeightGradient(
  builder: GraphBuilder,
  x: Value,
  dy: Value,
  dims: ConvolutionDims,
  window: Window,
  group: number,
): Value {
  const b = builder;
  const [batch = 1, channels = 1, ...spatial] = dims.x;
  const [, outputs = 1, ...positions] = dims.y;
  const [channelsEach, outputsEach] = [channels / group, outputs / group];
  const rank = spatial.length;
  const rows = batch * sizeOf(positions);
  // Channels last: `[group, N, spatial…, C / group]`, so that a slice is copied in long runs and reshapes to a matrix.
  const padding = [0, 0, 0, ...window.pads.slice(0, rank), 0, 0, 0, ...window.pads.slice(rank)];
  const parted = reshaped(b, x, [batch, group, channelsEach, ...spatial]);
  const padded = zeroPadded(b, parted, padding.slice(0, rank + 3), padding.slice(rank + 3));
  const last = b.op('Transpose', [padded], { perm: [1, 0, ...range(rank).map((axis) => axis + 3), 2] });
  const dyRows = reshaped(b, b.op('Transpose', [dy], { perm: [1, 0, ...range(rank).map((axis) => axis + 2)] }), [
    group,
    outputsEach,
    rows,
  ]);
  const products = kernelOffsets(window.kernel).map((offset) => {
    const seen = sliced(
      b,
      last,
      offset.map((k, axis) => ({
        axis: axis + 2,
        start: k * (window.dilations[axis] ?? 1),
        count: positions[axis] ?? 1,
        step: window.strides[axis] ?? 1,
      })),
    );
    const product = b.op('MatMul', [dyRows, reshaped(b, seen, [group, rows, channelsEach])]);
    return reshaped(b, product, [1, outputs, channelsEach]);
  });
  const [only] = products;
  const stacked = products.length === 1 && only ? only : b.op('Concat', products, { axis: 0 });
  return reshaped(b, b.op('Transpose', [stacked], { perm: [1, 2, 0] }), dims.w);
}
