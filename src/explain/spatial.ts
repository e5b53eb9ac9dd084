/*
 * Activations that lie on a grid over the image, in the layouts that classifiers have them: `[N, C, H, W]` of
 * convolutional networks, `[N, H, W, C]` of Swin and Keras, and tokens `[N, T, C]` or `[T, N, C]` of vision transformers.
 * Which token lies where is followed through the graph (`trace.ts`) and never concluded from their number.
 */
import { formatDims } from '../graph/dims.js';
import type { Dim, Graph, Value } from '../graph/model.js';
import type { GraphBuilder } from '../ops/builder.js';
import { isFloat } from '../tensor/dtype.js';
import type { ChannelAxes } from './channel-axis.js';
import { type AxisPlaces, getColumn, getRow, isLost, mergeAxes, ROW_STRIDE, type TracedPlaces } from './places.js';
import { tracePlaces } from './trace.js';

/** An activation as maps over the image. */
export interface Grid {
  readonly layout: 'channels-first' | 'channels-last' | 'tokens';
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  /** Tokens before those of the patches: class, distillation and register tokens. */
  readonly prefix: number;
  /** The axis of the batch, where it is not the first. */
  readonly batchAxis?: number;
  /** Which token, or entry of the map, lies at each place in rows; left out where they are in order after `prefix`. */
  readonly order?: readonly number[];
}

/** What keeps an activation from being a grid. */
export interface NoGrid {
  readonly reason: string;
  /** Set for tokens that may well lie on the image: the graph does not show where. */
  readonly isUnclear?: true;
}

/** Tells of each value of a typed graph whether it is a grid, or why not. */
export interface Grids {
  findGrid(value: Value): Grid | NoGrid;
  /** What is known of where a value's elements lie. */
  findPlaces(value: Value): TracedPlaces;
}

/** Whether an activation is a grid. */
export function isGrid(found: Grid | NoGrid): found is Grid {
  return 'layout' in found;
}

/** Sorted distinct numbers. */
const sortDistinct = (numbers: readonly number[]): number[] => [...new Set(numbers)].sort((a, b) => a - b);

/** Whether sorted numbers come in even steps. */
function isEvenlySpaced(sorted: readonly number[]): boolean {
  const [first = 0, second = first] = sorted;
  return sorted.every((value, i) => value === first + i * (second - first));
}

/** Whether an axis has no places, or such that follow each other in steps of some units. */
function isInOrder(axis: AxisPlaces, unit: number): boolean {
  if (!axis) return true;
  const [first = 0, second = first + unit] = axis;
  const step = second - first;
  const isUnit = unit === 1 ? step < ROW_STRIDE : step % unit === 0;
  return step > 0 && isUnit && axis.every((place, i) => place === first + i * step);
}

/** Arranges places as rows and columns: which entry lies where. `undefined` where they do not fill a grid once. */
function arrange(places: readonly number[]): { height: number; width: number; order: number[] } | undefined {
  const located = places.filter((place) => !Number.isNaN(place));
  const rows = sortDistinct(located.map(getRow));
  const columns = sortDistinct(located.map(getColumn));
  if (rows.length * columns.length !== located.length || !isEvenlySpaced(rows) || !isEvenlySpaced(columns))
    return undefined;
  const entryAt = new Map(places.map((place, i) => [place, i]));
  const order = rows.flatMap((row) => columns.flatMap((column) => entryAt.get(row * ROW_STRIDE + column) ?? []));
  return order.length === located.length ? { height: rows.length, width: columns.length, order } : undefined;
}

/** The fields of a grid that say where its entries lie. */
function toOrderFields(order: readonly number[]): Pick<Grid, 'prefix' | 'order'> {
  const prefix = order.reduce((least, entry) => Math.min(least, entry), Number.POSITIVE_INFINITY);
  return order.every((entry, i) => entry === prefix + i) ? { prefix } : { prefix, order };
}

/** Whether the entries of an axis are the pixels of one patch: nearer to each other than patches are. */
function isInsidePatch(axis: AxisPlaces, places: readonly number[]): boolean {
  if (!axis) return true;
  const located = places.filter((place) => !Number.isNaN(place));
  const apart = (numbers: readonly number[]): number => {
    const [first = 0, second = Number.POSITIVE_INFINITY] = sortDistinct(numbers);
    return second - first;
  };
  const [rows, columns] = [apart(located.map(getRow)), apart(located.map(getColumn))];
  const extent = (numbers: readonly number[]): number => {
    const sorted = sortDistinct(numbers);
    return (sorted.at(-1) ?? 0) - (sorted[0] ?? 0);
  };
  return extent(axis.map(getRow)) < rows && extent(axis.map(getColumn)) < columns;
}

/** Tokens `[N, T, C]`, the batch in either of the first two axes. */
function findTokenGrid(value: Value, batchAxis: number, traced: TracedPlaces): Grid | NoGrid {
  const axis = 1 - batchAxis;
  const channels = value.type?.dims[2];
  if (isLost(traced))
    return { reason: `the graph does not show where its tokens lie: ${traced.lost}`, isUnclear: true };
  const places = traced?.axes[axis];
  if (!traced || !places || typeof channels !== 'number') return { reason: 'its tokens have no place on the image' };
  const found = arrange(places);
  if (!found) return { reason: `its ${places.length} tokens do not fill one grid of patches`, isUnclear: true };
  if (found.order.length < 2) return { reason: 'it has one place' };
  if (!isInsidePatch(traced.axes[2], places)) return { reason: 'both of its axes run over tokens' };
  const { height, width, order } = found;
  const where = batchAxis === 0 ? {} : { batchAxis };
  return { layout: 'tokens', channels, height, width, ...toOrderFields(order), ...where };
}

/** Maps: where places are known they decide which entry lies where, rolled maps included. */
function findMapGrid(dims: readonly number[], axis: number, traced: TracedPlaces): Grid | NoGrid {
  const [rowAxis, columnAxis] = axis === 1 ? [2, 3] : [1, 2];
  const [channels = 0, height = 0, width = 0] = [axis, rowAxis, columnAxis].map((k) => dims[k - 1]);
  if (height * width < 2) return { reason: 'it has one place' };
  const layout = axis === 1 ? 'channels-first' : 'channels-last';
  const grid: Grid = { layout, channels, height, width, prefix: 0 };
  if (!traced || isLost(traced)) return grid;
  const [rows, columns] = [traced.axes[rowAxis], traced.axes[columnAxis]];
  if (isInOrder(rows, ROW_STRIDE) && isInOrder(columns, 1)) return grid;
  const found = arrange(mergeAxes([height, width], [rows, columns]) ?? []);
  if (found?.height !== height || found.width !== width) return { reason: 'its last axes are no rows and columns' };
  const { order } = toOrderFields(found.order);
  return order ? { ...grid, order } : grid;
}

/** Finds the grids of a typed graph. Sizes must be fixed, the batch may be a symbol. */
export function findGrids(graph: Graph, axes: ChannelAxes): Grids {
  const batch: Dim | undefined = graph.inputs[0]?.type?.dims[0];
  const findPlaces = tracePlaces(graph);
  const findGrid = (value: Value): Grid | NoGrid => {
    const dims = value.type?.dims ?? [];
    const shape = `it gives ${formatDims(value.type?.dims)}, which is no grid over the image`;
    if (axes.isAttention(value)) return { reason: 'it holds attention between tokens' };
    const isBatch = (dim: Dim | undefined) => dim !== undefined && dim === batch;
    // A number may be anything; a symbol is the batch wherever it stands.
    const batchAxis = isBatch(dims[0]) ? 0 : typeof batch === 'string' && isBatch(dims[1]) ? 1 : -1;
    const sizes = dims.flatMap((dim, k) => (k !== batchAxis && typeof dim === 'number' ? [dim] : []));
    if (batchAxis < 0 || sizes.length !== dims.length - 1) return { reason: shape };
    const axis = axes.findAxis(value);
    // Indices of tokens are no features.
    if (value.type && !isFloat(value.type.dtype)) return { reason: shape };
    if (dims.length === 3) return axis === 2 ? findTokenGrid(value, batchAxis, findPlaces(value)) : { reason: shape };
    if (dims.length !== 4 || batchAxis !== 0 || (axis !== 1 && axis !== 3)) return { reason: shape };
    return findMapGrid(sizes, axis, findPlaces(value));
  };
  return { findGrid, findPlaces };
}

/** Lays a grid out as `[N, C, H, W]`; tokens of no patch are left out. */
export function toChannelsFirst(b: GraphBuilder, value: Value, grid: Grid, batch: number): Value {
  const { layout, channels, height, width, prefix, order, batchAxis } = grid;
  if (layout === 'channels-first' && !order) return value;
  if (layout === 'channels-last' && !order) return b.op('Transpose', [value], { perm: [0, 3, 1, 2] });
  const end = prefix + height * width;
  let tokens = value;
  if (layout === 'channels-first') tokens = b.op('Transpose', [value], { perm: [0, 2, 3, 1] });
  if (layout !== 'tokens') tokens = b.op('Reshape', [tokens, b.ints([batch, height * width, channels])]);
  if (batchAxis === 1) tokens = b.op('Transpose', [value], { perm: [1, 0, 2] });
  let patches = tokens;
  if (order) patches = b.op('Gather', [tokens, b.ints(order)], { axis: 1 });
  else if (tokens.type?.dims[1] !== height * width)
    patches = b.op('Slice', [tokens, b.ints([prefix]), b.ints([end]), b.ints([1])]);
  const transposed = b.op('Transpose', [patches], { perm: [0, 2, 1] });
  return b.op('Reshape', [transposed, b.ints([batch, channels, height, width])]);
}
