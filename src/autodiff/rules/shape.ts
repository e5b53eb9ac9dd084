/** Rules of the operators that move elements: what went from i to o, comes back from o to i. */
import type { Value } from '../../graph/model.js';
import { sliceSteps, type shape as specs } from '../../ops/shape.js';
import type { Op } from '../../ops/table.js';
import { normalizeAxis, range, sizeOf } from '../../tensor/dims.js';
import { notDifferentiable, type RuleContext, type Rules, unsupported } from '../rule.js';
import { reshaped, reversed, sliced, zeroPadded, zerosLike } from './terms.js';

/** `dX = dY` under the dimensions of X. */
const reshapedBack = <K extends Op>(c: RuleContext<K>): Value[] => [reshaped(c.builder, c.dy, c.dims(c.x(0)))];

export const shape: Rules<keyof typeof specs> = {
  Flatten: reshapedBack,
  Reshape: reshapedBack,
  Squeeze: reshapedBack,
  Unsqueeze: reshapedBack,
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
      return c.needs(i) ? sliced(c.builder, c.dy, [{ axis, start: start - count, count }]) : undefined;
    });
  },
  Slice: slice,
  // dX = sum of dY over the repeated axes, which the walker does
  Expand: (c) => [c.dy],
  Pad: pad,
  Gather: gather,
  // dX[index] += dY
  GatherElements(c) {
    const { builder: b, dy } = c;
    const into = zerosLike(b, c.dims(c.x(0)), dy);
    return [b.op('ScatterElements', [into, c.x(1), dy], { axis: c.attributes.axis, reduction: 'add' })];
  },
  // Y = X with Y[index] = U or Y[index] += U. dU = dY[index]; dX = dY, without the replaced elements
  ScatterElements({ builder: b, dy, ...c }) {
    const { axis, reduction } = c.attributes;
    if (reduction !== 'add' && reduction !== 'none') {
      throw c.fail(`there is no rule for reduction "${reduction}", only for "add" and "none".`);
    }
    const index = c.x(1);
    let dX: Value | undefined;
    if (c.needs(0) && reduction === 'add') dX = dy;
    else if (c.needs(0)) dX = b.op('ScatterElements', [dy, index, zerosLike(b, c.dims(index), dy)], { axis });
    return [dX, undefined, c.needs(2) ? b.op('GatherElements', [dy, index], { axis }) : undefined];
  },
  Shape: notDifferentiable,
  ConstantOfShape: notDifferentiable,
  OneHot: unsupported('the gradient of its off and on values is not written.'),
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
  if (sizeOf(c.dims(c.y)) === 0) return [zerosLike(b, dims, c.dy)];
  let dX = c.dy;
  const begin = dims.map(() => 0);
  const end = dims.map(() => 0);
  for (const { axis, start, step, count } of sliceSteps(dims, starts, ends, axes, steps)) {
    const first = step > 0 ? start : start + (count - 1) * step;
    const stride = Math.abs(step);
    if (step < 0) dX = reversed(b, dX, axis);
    if (stride > 1 && count > 1) dX = spread(b, dX, c.dims(dX), axis, stride);
    begin[axis] = first;
    end[axis] = (dims[axis] ?? 0) - first - (c.dims(dX)[axis] ?? 0);
  }
  return [zeroPadded(b, dX, begin, end)];
}

/** `value` with `stride - 1` zeros between its elements along an axis. */
function spread(
  b: RuleContext<'Slice'>['builder'],
  value: Value,
  dims: readonly number[],
  axis: number,
  stride: number,
): Value {
  const [before, count, after] = [dims.slice(0, axis), dims[axis] ?? 1, dims.slice(axis + 1)];
  const apart = reshaped(b, value, [...before, count, 1, ...after]);
  const none = [...dims.map(() => 0), 0];
  const padded = zeroPadded(b, apart, none, none.with(axis + 1, stride - 1));
  const joined = reshaped(b, padded, [...before, count * stride, ...after]);
  return sliced(b, joined, [{ axis, start: 0, count: (count - 1) * stride + 1 }]);
}

// dX = dY without the padding; the constant that was padded with gets the sum of the rest
function pad({ builder: b, ...c }: RuleContext<'Pad'>): (Value | undefined)[] {
  if (c.attributes.mode !== 'constant')
    throw c.fail(`there is no rule for mode "${c.attributes.mode}", only "constant".`);
  const dims = c.dims(c.x(0));
  const rank = dims.length;
  const pads = c.constant(1);
  const axes = c.has(3) ? c.constant(3)?.map((axis) => normalizeAxis(axis, rank)) : range(rank);
  if (!pads || !axes) throw c.fail('its pads and axes must be constants.');
  const begin = dims.map(() => 0);
  const end = dims.map(() => 0);
  for (const [i, axis] of axes.entries()) {
    begin[axis] = pads[i] ?? 0;
    end[axis] = pads[i + axes.length] ?? 0;
  }
  // Negative pads cut elements off, which get a gradient of zero.
  const inner = dims.map((size, axis) => ({
    axis,
    start: Math.max(0, begin[axis] ?? 0),
    count: size + Math.min(0, begin[axis] ?? 0) + Math.min(0, end[axis] ?? 0),
  }));
  const kept = sliced(b, c.dy, inner);
  const cut = (counts: readonly number[]) => counts.map((count) => Math.max(0, -count));
  const added = (counts: readonly number[]) => counts.map((count) => Math.max(0, count));
  return [
    c.needs(0) ? zeroPadded(b, kept, cut(begin), cut(end)) : undefined,
    undefined,
    c.needs(2) ? b.op('Sub', [c.dy, zeroPadded(b, kept, added(begin), added(end))]) : undefined,
  ];
}

// dX[index] += dY along the axis
function gather({ builder: b, ...c }: RuleContext<'Gather'>): Value[] {
  const dims = c.dims(c.x(0));
  const axis = normalizeAxis(c.attributes.axis, dims.length);
  const count = sizeOf(c.dims(c.x(1)));
  const [before, after] = [sizeOf(dims.slice(0, axis)), sizeOf(dims.slice(axis + 1))];
  const flat = [before, count, after];
  const index = b.op('Expand', [reshaped(b, c.x(1), [1, count, 1]), b.ints(flat)]);
  const into = zerosLike(b, [before, dims[axis] ?? 1, after], c.dy);
  const scattered = b.op('ScatterElements', [into, index, reshaped(b, c.dy, flat)], { axis: 1, reduction: 'add' });
  return [reshaped(b, scattered, dims)];
}
