/* How operators that only move elements move their places, see `trace.ts`. */
import type { Node } from '../graph/model.js';
import { readAttributes } from '../ops/table.js';
import { normalizeAxis, range } from '../tensor/dims.js';
import {
  type AxisPlaces,
  addPlaces,
  concatPlaces,
  createPlaceless,
  isLost,
  type Places,
  reshapePlaces,
  type TracedPlaces,
  unifyPlaces,
  withAxis,
} from './places.js';

/** Describes the node of a rule. */
export interface TraceContext {
  readonly node: Node;
  readonly inputs: readonly TracedPlaces[];
  /** Sizes of an input or output, 1 for an open batch; `undefined` where a size is not known. */
  findInputSizes(index: number): readonly number[] | undefined;
  findOutputSizes(index: number): readonly number[] | undefined;
  /** The numbers of an input that is an initializer. */
  findConstant(index: number): readonly number[] | undefined;
  /** Says that places end here. */
  lose(why: string): TracedPlaces;
}

/** Gives what is known of each output. */
export type TraceRule = (context: TraceContext) => readonly TracedPlaces[];

/** Runs a rule on the first input, where its places and the output's sizes are known. */
export function createFirstInputRule(
  rule: (places: Places, sizes: readonly number[], c: TraceContext) => TracedPlaces,
): TraceRule {
  return (c) => {
    const [first] = c.inputs;
    const sizes = c.findOutputSizes(0);
    if (isLost(first)) return [first];
    if (!first) return [c.lose('reads pixels where indices or sizes are expected')];
    return [sizes ? rule(first, sizes, c) : c.lose('has an output of unknown size')];
  };
}

const transpose = createFirstInputRule(({ axes, sizes: from, offset }, sizes, { node }) => {
  const perm = readAttributes('Transpose', node).perm ?? range(from.length).reverse();
  return { sizes, axes: perm.map((axis) => axes[axis]), offset };
});

const reshape = createFirstInputRule(
  (places, sizes, c) => reshapePlaces(places, sizes) ?? c.lose('regroups tokens across rows of patches'),
);

/** The entries of an axis that a Slice keeps. */
function listSlicedIndices(size: number, start: number, end: number, step: number): number[] {
  const last = step > 0 ? size : size - 1;
  const clamp = (at: number) => Math.min(Math.max(at < 0 ? at + size : at, step > 0 ? 0 : -1), last);
  const found: number[] = [];
  const stop = clamp(end);
  for (let i = clamp(start); step > 0 ? i < stop : i > stop; i += step) found.push(i);
  return found;
}

const slice = createFirstInputRule((places, sizes, c) => {
  const own = readAttributes('Slice', c.node);
  const starts = own.starts ?? c.findConstant(1);
  const ends = own.ends ?? c.findConstant(2);
  const axes = own.axes ?? c.findConstant(3) ?? starts?.map((_, i) => i);
  const steps = c.findConstant(4);
  const cut = places.axes.some((axis, k) => axis && axis.length !== sizes[k]);
  if (!starts || !ends || !axes) return cut ? c.lose('cuts tokens at computed positions') : { ...places, sizes };
  let result = places;
  for (const [i, at] of axes.entries()) {
    const axis = normalizeAxis(at, places.sizes.length);
    const size = places.sizes[axis] as number;
    const kept = listSlicedIndices(size, starts[i] as number, ends[i] as number, steps?.[i] ?? 1);
    const entries = result.axes[axis];
    result = withAxis(result, axis, entries && kept.map((index) => entries[index] as number), kept.length);
  }
  return result;
});

const split: TraceRule = (c) => {
  const [first] = c.inputs;
  if (!first || isLost(first)) return [first];
  const axis = normalizeAxis(readAttributes('Split', c.node).axis, first.sizes.length);
  let start = 0;
  return c.node.outputs.map((_, i) => {
    const size = c.findOutputSizes(i)?.[axis];
    if (size === undefined) return c.lose('has an output of unknown size');
    start += size;
    return withAxis(first, axis, first.axes[axis]?.slice(start - size, start), size);
  });
};

const gather = createFirstInputRule((places, sizes, c) => {
  const axis = normalizeAxis(readAttributes('Gather', c.node).axis, places.sizes.length);
  const entries = places.axes[axis];
  const shape = c.findInputSizes(1) ?? [];
  const rest = (between: readonly AxisPlaces[]) => [
    ...places.axes.slice(0, axis),
    ...between,
    ...places.axes.slice(axis + 1),
  ];
  if (!entries) return { ...places, sizes, axes: rest(shape.map(() => undefined)) };
  const picked = c.findConstant(1)?.map((index) => entries[normalizeAxis(index, entries.length)] as number);
  if (!picked) return c.lose('picks tokens by computed indices');
  const [one] = picked;
  if (shape.length === 0) return { sizes, axes: rest([]), offset: addPlaces(places.offset, one) };
  const spread = reshapePlaces({ sizes: [picked.length], axes: [picked], offset: undefined }, shape);
  if (!spread) return c.lose('picks tokens in no order of rows and columns');
  return { sizes, axes: rest(spread.axes), offset: addPlaces(places.offset, spread.offset) };
});

const concat: TraceRule = (c) => {
  const sizes = c.findOutputSizes(0);
  const lost = c.inputs.find(isLost);
  if (lost) return [lost];
  const parts = c.inputs.map((input, i) =>
    isLost(input) ? undefined : (input ?? createPlaceless(c.findInputSizes(i) ?? [])),
  );
  if (!sizes || parts.some((part) => part?.sizes.length !== sizes.length))
    return [c.lose('has an input of unknown size')];
  const axis = normalizeAxis(readAttributes('Concat', c.node).axis, sizes.length);
  const joined = concatPlaces(
    parts.flatMap((part) => part ?? []),
    axis,
    sizes,
  );
  return [joined ?? c.lose('joins tokens of different places')];
};

/** Padding continues a map; among tokens it stands for none. */
const pad = createFirstInputRule((places, sizes, c) => {
  const begins = c.findConstant(1);
  const at = c.findConstant(3)?.map((axis) => normalizeAxis(axis, sizes.length)) ?? range(sizes.length);
  if (!begins) return c.lose('pads by computed sizes');
  const isGrid = places.axes.filter((axis) => axis !== undefined).length > 1;
  let result = places;
  for (const [i, axis] of at.entries()) {
    const [entries, size] = [places.axes[axis], sizes[axis] as number];
    const [begin, step] = [begins[i] as number, entries ? (entries[1] ?? 0) - (entries[0] as number) : 0];
    const place = (k: number) =>
      entries?.[k - begin] ?? (isGrid ? (entries?.[0] as number) + (k - begin) * step : Number.NaN);
    result = withAxis(result, axis, entries && range(size).map(place), size);
  }
  return result;
});

const expand = createFirstInputRule((places, sizes) => {
  const filled = { ...places, axes: places.axes.map((axis, k) => (places.sizes[k] === 1 ? undefined : axis)) };
  const offset = places.axes.reduce(
    (sum, axis, k) => addPlaces(sum, places.sizes[k] === 1 ? axis?.[0] : undefined),
    places.offset,
  );
  return { ...(unifyPlaces(sizes, [filled]) ?? filled), offset };
});

const tile = createFirstInputRule((places, sizes) => ({
  ...places,
  sizes,
  axes: places.axes.map((axis, k) => axis && range(sizes[k] as number).map((i) => axis[i % axis.length] as number)),
}));

/** The operators that only move elements. */
export const moveRules: Readonly<Record<string, TraceRule>> = {
  Concat: concat,
  Expand: expand,
  Flatten: reshape,
  Gather: gather,
  Pad: pad,
  Reshape: reshape,
  Slice: slice,
  Split: split,
  Squeeze: reshape,
  Tile: tile,
  Transpose: transpose,
  Unsqueeze: reshape,
};
