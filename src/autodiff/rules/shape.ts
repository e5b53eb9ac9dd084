/** Rules of the operators that move elements: what went from i to o, comes back from o to i. */
import type { Value } from '../../graph/model.js';
import { computeSliceSteps } from '../../ops/extents.js';
import type { shape as specs } from '../../ops/shape.js';
import type { Op } from '../../ops/table.js';
import { countElements, normalizeAxis, range } from '../../tensor/dims.js';
import { notDifferentiable, type RuleContext, type Rules, severalOutputs } from '../rule.js';
import { pad } from './pad.js';
import { padZeros, reshapeTo, reverseAxis, sliceAxes, zerosLike } from './terms.js';

/** `dX = dY` under the dimensions of X. */
const reshapeBack = <K extends Op>(c: RuleContext<K>): Value[] => [reshapeTo(c.builder, c.dy, c.dims(c.x(0)))];

export const shape: Rules<keyof typeof specs> = {
  Flatten: reshapeBack,
  Reshape: reshapeBack,
  Squeeze: reshapeBack,
  Unsqueeze: reshapeBack,
  // dX = dY, permuted back
  Transpose(c) {
    const perm = c.attributes.perm ?? range(c.dims(c.y).length).reverse();
    return [c.builder.op('Transpose', [c.dy], { perm: range(perm.length).map((axis) => perm.indexOf(axis)) })];
  },
  // dXi = the part of dY that came from Xi
  Concat(c) {
    const axis = normalizeAxis(c.attributes.axis, c.dims(c.y).length);
    let start = 0;
    return c.node.inputs.map((_, i) => {
      const count = c.dims(c.x(i))[axis] ?? 1;
      start += count;
      return c.needs(i) ? sliceAxes(c.builder, c.dy, [{ axis, start: start - count, count }]) : undefined;
    });
  },
  Slice: slice,
  // dX = sum of dY over the repeated axes, which the walker does
  Expand: (c) => [c.dy],
  Pad: pad,
  // dX = the gradients of the parts, joined; a part that the loss does not depend on has zeros
  Split: severalOutputs(({ builder: b, dys, ...c }) => {
    const given = dys.find((dy) => dy !== undefined);
    if (!given) throw c.fail('none of its outputs has a gradient.');
    const parts = c.node.outputs.map((output, i) => {
      if (!output) throw c.fail(`its output ${i} is left out.`);
      return dys[i] ?? zerosLike(b, c.dims(output), given);
    });
    return [b.op('Concat', parts, { axis: c.attributes.axis })];
  }),
  // dX = dY, summed over the repetitions
  Tile({ builder: b, dy, ...c }) {
    const dims = c.dims(c.x(0));
    const repeats = c.dims(c.y).map((size, axis) => size / Math.max(1, dims[axis] ?? 1));
    const apart = reshapeTo(
      b,
      dy,
      dims.flatMap((size, axis) => [repeats[axis] ?? 1, size]),
    );
    const axes = repeats.flatMap((count, axis) => (count === 1 ? [] : [2 * axis]));
    const summed = axes.length === 0 ? apart : b.op('ReduceSum', [apart, b.ints(axes)], { keepdims: 0 });
    return [reshapeTo(b, summed, dims)];
  },
  Shape: notDifferentiable,
  Size: notDifferentiable,
};

// dX[start + step i] = dY[i], and 0 elsewhere
function slice({ builder: b, ...c }: RuleContext<'Slice'>): Value[] {
  const dims = c.dims(c.x(0));
  const starts = c.attributes.starts ?? c.constant(1);
  const ends = c.attributes.ends ?? c.constant(2);
  const axes = c.attributes.axes ?? c.constant(3);
  const steps = c.has(4) ? c.constant(4) : dims.map(() => 1);
  if (!starts || !ends || !steps || (c.has(3) && !axes)) {
    throw c.fail('its starts, ends, axes and steps must be constants.');
  }
  if (countElements(c.dims(c.y)) === 0) return [zerosLike(b, dims, c.dy)];
  let dX = c.dy;
  const begin = dims.map(() => 0);
  const end = dims.map(() => 0);
  for (const { axis, start, step, count } of computeSliceSteps(dims, starts, ends, axes, steps)) {
    const first = step > 0 ? start : start + (count - 1) * step;
    const stride = Math.abs(step);
    if (step < 0) dX = reverseAxis(b, dX, axis);
    if (stride > 1 && count > 1) dX = spreadWithZeros(b, dX, c.dims(dX), axis, stride);
    begin[axis] = first;
    end[axis] = (dims[axis] ?? 0) - first - (c.dims(dX)[axis] ?? 0);
  }
  return [padZeros(b, dX, begin, end)];
}

/** `value` with `stride - 1` zeros between its elements along an axis. */
function spreadWithZeros(
  b: RuleContext<'Slice'>['builder'],
  value: Value,
  dims: readonly number[],
  axis: number,
  stride: number,
): Value {
  const [before, count, after] = [dims.slice(0, axis), dims[axis] ?? 1, dims.slice(axis + 1)];
  const apart = reshapeTo(b, value, [...before, count, 1, ...after]);
  const none = [...dims.map(() => 0), 0];
  const padded = padZeros(b, apart, none, none.with(axis + 1, stride - 1));
  const joined = reshapeTo(b, padded, [...before, count * stride, ...after]);
  return sliceAxes(b, joined, [{ axis, start: 0, count: (count - 1) * stride + 1 }]);
}
