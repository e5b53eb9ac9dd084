import type { Value } from '../../graph/model.js';
import { findPadSource } from '../../ops/extents.js';
import { normalizeAxis, range } from '../../tensor/dims.js';
import type { RuleContext } from '../rule.js';
import { padZeros, sliceAxes } from './terms.js';
import { multiplyTransposed } from './transposed-product.js';

/** The padding of each axis, before and after. */
function readPadding(c: RuleContext<'Pad'>): { readonly begin: number[]; readonly end: number[] } {
  const rank = c.dims(c.x(0)).length;
  const pads = c.constant(1);
  const axes = c.has(3) ? c.constant(3)?.map((axis) => normalizeAxis(axis, rank)) : range(rank);
  if (!pads || !axes) throw c.fail('its pads and axes must be constants.');
  const begin = new Array<number>(rank).fill(0);
  const end = new Array<number>(rank).fill(0);
  for (const [i, axis] of axes.entries()) {
    begin[axis] = pads[i] ?? 0;
    end[axis] = pads[i + axes.length] ?? 0;
  }
  return { begin, end };
}

// constant: dX = dY without the padding; the constant that was padded with gets the sum of the rest.
// Otherwise Y[o] = X[source(o)] along each axis, so dX[source(o)] += dY[o]: the product with a matrix of zeros and ones
export function pad(c: RuleContext<'Pad'>): (Value | undefined)[] {
  const b = c.builder;
  const { mode } = c.attributes;
  const { begin, end } = readPadding(c);
  const dims = c.dims(c.x(0));
  if (mode !== 'constant') {
    let dX = c.dy;
    for (const [axis, size] of dims.entries()) {
      const [before, after] = [begin[axis] ?? 0, end[axis] ?? 0];
      if (before === 0 && after === 0) continue;
      const outputs = size + before + after;
      const matrix = new Array<number>(outputs * size).fill(0);
      for (let o = 0; o < outputs; o++) {
        const source = findPadSource(mode, o - before, size);
        if (source !== undefined) matrix[o * size + source] = 1;
      }
      dX = multiplyTransposed(b, dX, axis, matrix, size);
    }
    return [dX];
  }
  // Negative pads cut elements off, which get a gradient of zero.
  const inner = dims.map((size, axis) => ({
    axis,
    start: Math.max(0, begin[axis] ?? 0),
    count: size + Math.min(0, begin[axis] ?? 0) + Math.min(0, end[axis] ?? 0),
  }));
  const kept = sliceAxes(b, c.dy, inner);
  const cut = (counts: readonly number[]) => counts.map((count) => Math.max(0, -count));
  const added = (counts: readonly number[]) => counts.map((count) => Math.max(0, count));
  return [
    c.needs(0) ? padZeros(b, kept, cut(begin), cut(end)) : undefined,
    undefined,
    c.needs(2) ? b.op('Sub', [c.dy, padZeros(b, kept, added(begin), added(end))]) : undefined,
  ];
}
