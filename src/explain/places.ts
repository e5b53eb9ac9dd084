/*
 * Where the elements of an activation lie on the image. A place is one number, row · ROW + column, and the place of an
 * element is a sum over the axes of the activation: in `[N, C, H, W]` axis 2 gives the row and axis 3 the column, in
 * `[N, T, C]` axis 1 gives both. Whatever only moves elements (Reshape, Transpose, Slice, Concat) therefore moves places
 * along exactly, windows and rolled maps included. NaN stands for entries without a place: class and register tokens.
 */

/** Distance from a row to the next: larger than any width. */
export const ROW_STRIDE = 2 ** 24;

/** The row of a place, and its column. */
export const getRow = (place: number): number => Math.round(place / ROW_STRIDE);
export const getColumn = (place: number): number => place - getRow(place) * ROW_STRIDE;

/** What the entries of an axis add to the place; `undefined` where all are alike (channels, the batch). */
export type AxisPlaces = readonly number[] | undefined;

/** The places of the elements of one activation. A batch that is open has size 1 here. */
export interface Places {
  readonly sizes: readonly number[];
  readonly axes: readonly AxisPlaces[];
  /** The place of the whole, where it is one token; `undefined` where it is not. */
  readonly offset: number | undefined;
}

/** An activation whose places could not be followed, and why. */
export interface LostPlaces {
  readonly lost: string;
}

/** What is known of a value: `undefined` where it does not depend on the pixels. */
export type TracedPlaces = Places | LostPlaces | undefined;

/** Whether places were followed to a value in vain. */
export function isLost(traced: TracedPlaces): traced is LostPlaces {
  return traced !== undefined && 'lost' in traced;
}

/** Describes an activation without places. */
export function createPlaceless(sizes: readonly number[]): Places {
  return { sizes, axes: sizes.map(() => undefined), offset: undefined };
}

/** Describes a map: rows along one axis, columns along another. */
export function createMapPlaces(sizes: readonly number[], rowAxis: number, columnAxis: number): Places {
  const axes = sizes.map((size, axis): AxisPlaces => {
    if (size === 1 || (axis !== rowAxis && axis !== columnAxis)) return undefined;
    return Array.from({ length: size }, (_, i) => (axis === rowAxis ? i * ROW_STRIDE : i));
  });
  return { sizes, axes, offset: undefined };
}

/** Whether no element has a place, as of a class token that was read on its own. */
export function isPlaceless({ axes, offset }: Places): boolean {
  return Number.isNaN(offset) || axes.some((axis) => axis?.every(Number.isNaN));
}

/** Adds places where either may be missing. */
export function addPlaces(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : a + b;
}

/** Whether two axes give the same places but for where they begin, as a padded map and the map itself do. */
export function isSameUpToShift(a: readonly number[], b: readonly number[]): boolean {
  const at = a.findIndex((place) => !Number.isNaN(place));
  const shift = at < 0 ? 0 : (b[at] as number) - (a[at] as number);
  return a.length === b.length && a.every((place, i) => Object.is(place + shift, b[i]));
}

/** The places of an element-wise result (under broadcasting); `undefined` where the parts disagree. */
export function unifyPlaces(sizes: readonly number[], parts: readonly Places[]): Places | undefined {
  const axes: AxisPlaces[] = [];
  for (const [axis, size] of sizes.entries()) {
    let known: AxisPlaces;
    for (const part of parts) {
      const own = part.axes[axis - (sizes.length - part.sizes.length)];
      if (own?.length !== size) continue;
      if (known && !isSameUpToShift(known, own)) return undefined;
      known ??= own;
    }
    axes.push(known);
  }
  const [first] = parts;
  const offset = parts.every((part) => Object.is(part.offset, first?.offset)) ? first?.offset : undefined;
  return { sizes, axes, offset };
}

/** Merged axes may have this many entries; more than any classifier flattens. */
const MOST_ENTRIES = 2 ** 22;

/** The places along several axes merged into one. */
export function mergeAxes(sizes: readonly number[], axes: readonly AxisPlaces[]): AxisPlaces {
  if (axes.every((axis) => axis === undefined)) return undefined;
  let merged: readonly number[] = [0];
  for (const [k, size] of sizes.entries()) {
    const axis = axes[k];
    merged = merged.flatMap((place) =>
      Array.from({ length: size }, (_, i) => place + (axis ? (axis[i] as number) : 0)),
    );
  }
  return merged;
}

/** The places along one axis split into several; `undefined` where they are no sum over these. */
function splitAxis(merged: AxisPlaces, sizes: readonly number[]): AxisPlaces[] | undefined {
  if (!merged || sizes.length === 1) return sizes.map(() => merged);
  const strides = sizes.map((_, k) => sizes.slice(k + 1).reduce((product, size) => product * size, 1));
  const index = (i: number, k: number): number => Math.floor(i / (strides[k] as number)) % (sizes[k] as number);
  const varies = (k: number): boolean =>
    merged.some((place, i) => !Object.is(place, merged[i - index(i, k) * (strides[k] as number)]));
  const varying = sizes.flatMap((_, k) => (varies(k) ? [k] : []));
  const [start = 0] = merged;
  const split = sizes.map((size, k): AxisPlaces => {
    if (!varying.includes(k)) return undefined;
    const base = k === varying[0] ? 0 : start;
    return Array.from({ length: size }, (_, i) => (merged[i * (strides[k] as number)] as number) - base);
  });
  // Where one axis alone varies, its entries are those of the whole, NaN included.
  if (varying.length <= 1) return split;
  const sum = (i: number): number =>
    split.reduce((total, axis, k) => total + (axis ? (axis[index(i, k)] as number) : 0), 0);
  return merged.every((place, i) => place === sum(i)) ? split : undefined;
}

/** The places after a Reshape to `sizes`; `undefined` where elements do not lie along the new axes. */
export function reshapePlaces(places: Places, sizes: readonly number[]): Places | undefined {
  // An axis of one entry says where the whole lies.
  const ones = places.axes.map((axis, k) => (places.sizes[k] === 1 ? axis?.[0] : undefined));
  const offset = ones.reduce(addPlaces, places.offset);
  const from = places.axes.map((axis, k) => (places.sizes[k] === 1 ? undefined : axis));
  const axes: AxisPlaces[] = [];
  let [i, j] = [0, 0];
  while (i < from.length || j < sizes.length) {
    const [i0, j0] = [i, j];
    let [a, b] = [places.sizes[i++] ?? 1, sizes[j++] ?? 1];
    while (a !== b) {
      if (a > MOST_ENTRIES || (a < b ? i >= from.length : j >= sizes.length)) return undefined;
      if (a < b) a *= places.sizes[i++] as number;
      else b *= sizes[j++] as number;
    }
    const split = splitAxis(mergeAxes(places.sizes.slice(i0, i), from.slice(i0, i)), sizes.slice(j0, j));
    if (!split) return undefined;
    axes.push(...split);
  }
  return { sizes, axes: axes.slice(0, sizes.length), offset };
}

/** The places with one axis replaced. */
export function withAxis(places: Places, axis: number, entries: AxisPlaces, size: number): Places {
  return {
    ...places,
    sizes: places.sizes.map((one, k) => (k === axis ? size : one)),
    axes: places.axes.map((one, k) => (k === axis ? entries : one)),
  };
}

/** The places of activations joined along an axis; `undefined` where they disagree along another. */
export function concatPlaces(parts: readonly Places[], axis: number, sizes: readonly number[]): Places | undefined {
  const located = parts.some((part) => part.axes[axis] || part.offset !== undefined);
  const joined = parts.flatMap(({ axes, sizes: own, offset }) =>
    Array.from({ length: own[axis] as number }, (_, i) => addPlaces(axes[axis]?.[i], offset) ?? Number.NaN),
  );
  const others = unifyPlaces(
    sizes.map((size, k) => (k === axis ? 1 : size)),
    parts.map((part) => ({ ...withAxis(part, axis, undefined, 1), offset: undefined })),
  );
  // Where the places of the parts differ by a shift (the pixels of merged patches), channels are joined.
  const shifted = others?.axes.some((entries, k) =>
    parts.some((part) => entries && part.axes[k] && !Object.is(part.axes[k][0], entries[0])),
  );
  return others && withAxis(others, axis, located && !shifted ? joined : undefined, joined.length);
}
