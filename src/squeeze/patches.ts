import type { Value } from '../graph/model.js';
import type { GraphBuilder } from '../ops/builder.js';
import { range, sizeOf } from '../tensor/dims.js';
import type { SqueezeLayer } from './squeeze-layer.js';

/**
 * What a layer's kernel sees, a column for each output position of each image: `[C·height·width, N·positions]`, rows in
 * the order of the weight's axes (im2col).
 *
 * @param positions numbers of the positions that are taken, int64 `[k]`, row after row of the output. Default: all.
 */
export function patchColumns(b: GraphBuilder, x: Value, layer: SqueezeLayer, positions?: Value): Value {
  const channelsFirst = b.op('Transpose', [x], { perm: layer.kind === 'linear' ? [1, 0] : [1, 0, 2, 3] });
  if (layer.kind === 'linear') return channelsFirst;
  const { strides, pads, dilations } = layer.window;
  const [height, width] = layer.kernel;
  const [down, across] = layer.outputSize;
  const [top = 0, left = 0, bottom = 0, right = 0] = pads;
  const padded = pads.some((pad) => pad > 0)
    ? b.op('Pad', [channelsFirst, b.ints([0, 0, top, left, 0, 0, bottom, right])])
    : channelsFirst;
  const seen = range(height * width).map((k) => {
    const [i, j] = [Math.floor(k / width) * (dilations[0] ?? 1), (k % width) * (dilations[1] ?? 1)];
    const [stepI, stepJ] = [strides[0] ?? 1, strides[1] ?? 1];
    const slice = b.op('Slice', [
      padded,
      b.ints([i, j]),
      b.ints([i + (down - 1) * stepI + 1, j + (across - 1) * stepJ + 1]),
      b.ints([2, 3]),
      b.ints([stepI, stepJ]),
    ]);
    return atPositions(b, b.op('Reshape', [slice, b.ints([layer.inputs, 1, -1, down * across])]), positions);
  });
  const [only] = seen;
  const stacked = seen.length === 1 && only ? only : b.op('Concat', seen, { axis: 1 });
  return b.op('Reshape', [stacked, b.ints([layer.weight.rows, -1])]);
}

/** A layer's output (or its gradient) with a column for each position of each image: `[O, N·positions]`. */
export function outputColumns(b: GraphBuilder, y: Value, layer: SqueezeLayer, positions?: Value): Value {
  if (layer.kind === 'linear') return b.op('Transpose', [y], { perm: [1, 0] });
  const channelsFirst = b.op('Transpose', [y], { perm: [1, 0, 2, 3] });
  const flat = b.op('Reshape', [channelsFirst, b.ints([layer.outputs, 1, -1, sizeOf(layer.outputSize)])]);
  return b.op('Reshape', [atPositions(b, flat, positions), b.ints([layer.outputs, -1])]);
}

/** Of `[C, 1, N, positions]`. */
function atPositions(b: GraphBuilder, values: Value, positions: Value | undefined): Value {
  return positions ? b.op('Gather', [values, positions], { axis: 3 }) : values;
}
