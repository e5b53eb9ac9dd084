/** How much of an axis slices, parts and padding take, and from where: shared by types, kernels and rules. */
import type { Dim } from '../graph/model.js';
import { normalizeAxis, range } from '../tensor/dims.js';

/** The steps that a Slice node takes along each axis, clamped to the dimensions as ONNX defines. */
export interface SliceStep {
  readonly axis: number;
  readonly start: number;
  readonly end: number;
  readonly step: number;
  readonly count: number;
}

/** Resolves a Slice's starts, ends, axes and steps against static dimensions. */
export function computeSliceSteps(
  dims: readonly number[],
  starts: readonly number[],
  ends: readonly number[],
  axes: readonly number[] | undefined,
  steps: readonly number[] | undefined,
): SliceStep[] {
  return starts.map((rawStart, i) => {
    const axis = normalizeAxis(axes?.[i] ?? i, dims.length);
    const size = dims[axis] ?? 1;
    const step = steps?.[i] ?? 1;
    const clamp = (value: number, low: number, high: number) => Math.min(Math.max(value, low), high);
    const wrap = (value: number) => (value < 0 ? value + size : value);
    const start = step > 0 ? clamp(wrap(rawStart), 0, size) : clamp(wrap(rawStart), 0, size - 1);
    const end = step > 0 ? clamp(wrap(ends[i] ?? 0), 0, size) : clamp(wrap(ends[i] ?? 0), -1, size - 1);
    return { axis, start, end, step, count: Math.max(0, Math.ceil((end - start) / step)) };
  });
}

/** Size of an axis of which a part is taken: symbols are kept where all of it is, or as much as its symbolic end says. */
export function computeSlicedSize(size: Dim, start: Dim, end: Dim, step: number): Dim {
  if (typeof size === 'number' && typeof start === 'number' && typeof end === 'number') {
    return computeSliceSteps([size], [start], [end], [0], [step])[0]?.count ?? size;
  }
  if (start !== 0 || step !== 1) return '?';
  // Files say "to the end" by the largest int64 or int32.
  if (end === size || (typeof end === 'number' && end >= 2 ** 31 - 1)) return size;
  return '?';
}

/** How long each of `count` equal parts of an axis is; the last one is the rest. */
export function computeEvenParts(size: number, count: number): number[] {
  const each = Math.ceil(size / count);
  return range(count).map((i) => Math.max(0, Math.min(each, size - i * each)));
}

/** Where padding takes its element from along one axis; `undefined` for the constant. */
const padSources: Readonly<Record<string, (i: number, size: number) => number | undefined>> = {
  constant: (i, size) => (i >= 0 && i < size ? i : undefined),
  edge: (i, size) => Math.min(Math.max(i, 0), size - 1),
  reflect: (i, size) => {
    const period = Math.max(1, 2 * (size - 1));
    const inside = ((i % period) + period) % period;
    return inside < size ? inside : period - inside;
  },
  wrap: (i, size) => ((i % size) + size) % size,
};

/** The modes of Pad. */
export const padModes: readonly string[] = Object.keys(padSources);

/** Where mode `mode` of Pad takes the element at i from along an axis; `undefined` for the constant. */
export function findPadSource(mode: string, i: number, size: number): number | undefined {
  return padSources[mode]?.(i, size);
}
