import type { Value } from '../graph/model.js';
import type { GraphBuilder } from '../ops/builder.js';
import { range } from '../tensor/dims.js';
import type { SqueezeLayer } from './squeeze-layer.js';

/**
 * What a layer's kernel sees, a column for each output position of each image: `[C·height·width, N·positions]`, rows in
 * the order of the weight's axes (im2col).
 */
export function patchColumns(b: GraphBuilder, x: Value, layer: SqueezeLayer): Value {
  if (layer.kind === 'linear') return b.op('Transpose', [x], { perm: [1, 0] });
  const { strides, pads, dilations } = layer.window;
  const [height, width] = layer.kernel;
  const [down, across] = layer.outputSize;
  const [top = 0, left = 0, bottom = 0, right = 0] = pads;
  const padded = pads.some((pad) => pad > 0) ? b.op('Pad', [x, b.ints([0, 0, top, left, 0, 0, bottom, right])]) : x;
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
    return b.op('Unsqueeze', [slice, b.ints([2])]);
  });
  const [only] = seen;
  const stacked = seen.length === 1 && only ? only : b.op('Concat', seen, { axis: 2 });
  const turned = b.op('Transpose', [stacked], { perm: [1, 2, 0, 3, 4] });
  return b.op('Reshape', [turned, b.ints([layer.weight.rows, -1])]);
}

/** A layer's output (or its gradient) with a column for each position of each image: `[O, N·positions]`. */
export function outputColumns(b: GraphBuilder, y: Value, layer: SqueezeLayer): Value {
  if (layer.kind === 'linear') return b.op('Transpose', [y], { perm: [1, 0] });
  return b.op('Reshape', [b.op('Transpose', [y], { perm: [1, 0, 2, 3] }), b.ints([layer.outputs, -1])]);
}
