import type { Value } from '../../graph/model.js';
import type { GraphBuilder } from '../../ops/builder.js';
import { countElements, range } from '../../tensor/dims.js';
import type { CompressibleLayer } from '../compressible-layers.js';

/** The numbers of all of a layer's output positions, row after row: int64 `[positions]`. */
export function appendAllPositions(b: GraphBuilder, layer: CompressibleLayer): Value {
  return b.ints(range(countElements(layer.outputSize)));
}

/** The rows that a linear layer sees or answers, a column each: `[features, rows]`. */
function appendRowColumns(
  b: GraphBuilder,
  x: Value,
  layer: CompressibleLayer,
  features: number,
  positions?: Value,
): Value {
  const [count] = layer.outputSize;
  if (x.type?.dims.length === 2 && count === 1) return b.op('Transpose', [x], { perm: [1, 0] });
  const rows = b.op('Reshape', [x, b.ints([-1, count, features])]);
  const taken = positions ? b.op('Gather', [rows, positions], { axis: 1 }) : rows;
  return b.op('Reshape', [b.op('Transpose', [taken], { perm: [2, 0, 1] }), b.ints([features, -1])]);
}

/**
 * What a layer's kernel sees, a column for each output position of each image: `[C·height·width, N·positions]`, rows in
 * the order of the weight's axes (im2col).
 *
 * @param positions numbers of the positions that are taken, int64 `[k]`, row after row of the output. Default: all.
 */
export function appendPatchColumns(b: GraphBuilder, x: Value, layer: CompressibleLayer, positions?: Value): Value {
  if (layer.kind === 'linear') return appendRowColumns(b, x, layer, layer.inputs, positions);
  const { strides, pads, dilations } = layer.window;
  const [height, width] = layer.kernel;
  const [, across] = layer.outputSize;
  const [top = 0, left = 0, bottom = 0, right = 0] = pads;
  const padded = pads.some((pad) => pad > 0) ? b.op('Pad', [x, b.ints([0, 0, top, left, 0, 0, bottom, right])]) : x;
  // Only pixels that are seen are copied: of many images a few positions are taken.
  const stride = layer.inputSize[1] + left + right;
  const taken = positions ?? appendAllPositions(b, layer);
  const row = b.op('Div', [taken, b.ints([across])]);
  const column = b.op('Sub', [taken, b.op('Mul', [row, b.ints([across])])]);
  const corner = b.op('Add', [
    b.op('Mul', [row, b.ints([(strides[0] ?? 1) * stride])]),
    b.op('Mul', [column, b.ints([strides[1] ?? 1])]),
  ]);
  const offsets = range(height * width).map(
    (k) => Math.floor(k / width) * (dilations[0] ?? 1) * stride + (k % width) * (dilations[1] ?? 1),
  );
  const pixels = b.op('Add', [corner, b.op('Reshape', [b.ints(offsets), b.ints([-1, 1])])]);
  const flat = b.op('Reshape', [padded, b.ints([0, layer.inputs, -1])]);
  const seen = b.op('Transpose', [b.op('Gather', [flat, pixels], { axis: 2 })], { perm: [1, 2, 0, 3] });
  return b.op('Reshape', [seen, b.ints([layer.weight.rows, -1])]);
}

/** A layer's output (or its gradient) with a column for each position of each image: `[O, N·positions]`. */
export function appendOutputColumns(b: GraphBuilder, y: Value, layer: CompressibleLayer, positions?: Value): Value {
  if (layer.kind === 'linear') return appendRowColumns(b, y, layer, layer.outputs, positions);
  const flat = b.op('Reshape', [y, b.ints([0, layer.outputs, -1])]);
  const taken = positions ? b.op('Gather', [flat, positions], { axis: 2 }) : flat;
  return b.op('Reshape', [b.op('Transpose', [taken], { perm: [1, 0, 2] }), b.ints([layer.outputs, -1])]);
}
