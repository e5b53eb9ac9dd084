import type { Value } from '../../graph/model.js';
import type { GraphBuilder } from '../../ops/builder.js';
import { countElements, range } from '../../tensor/dims.js';
import { readStaticDims } from '../static-dims.js';
import { constantLike, reshapeTo } from './terms.js';

/**
 * `A' dY` along an axis: what a linear map of that axis, `Y = A X`, gives back to its input.
 *
 * @param matrix A, `[outputs, size]`, row-major; `outputs` is how long `dy` is there.
 * @param size how long X is along the axis.
 */
export function multiplyTransposed(
  b: GraphBuilder,
  dy: Value,
  axis: number,
  matrix: readonly number[],
  size: number,
): Value {
  const dims = readStaticDims(dy);
  const outputs = dims[axis] ?? 1;
  const [before, after] = [countElements(dims.slice(0, axis)), countElements(dims.slice(axis + 1))];
  const target = dims.with(axis, size);
  if (after === 1) {
    const flat = reshapeTo(b, dy, [before, outputs]);
    return reshapeTo(b, b.op('MatMul', [flat, constantLike(b, matrix, [outputs, size], dy)]), target);
  }
  const turned = range(size * outputs).map((i) => matrix[(i % outputs) * size + Math.floor(i / outputs)] ?? 0);
  const product = b.op('MatMul', [
    constantLike(b, turned, [size, outputs], dy),
    reshapeTo(b, dy, [before, outputs, after]),
  ]);
  return reshapeTo(b, product, target);
}
