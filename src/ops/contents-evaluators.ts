/** How each operator that shapes are computed with carries its inputs' elements to its outputs'. */
import { divideDims, isStatic, multiplyDims } from '../graph/dims.js';
import { findDtype } from '../graph/element-types.js';
import type { Dim, Node } from '../graph/model.js';
import { computeStrides, range } from '../tensor/dims.js';
import { type DType, isFloat } from '../tensor/dtype.js';
import { computeEvenParts, computeSliceSteps } from './extents.js';
import type { AttributesOf, Op } from './table.js';

/** The elements of a small tensor, row-major: numbers, symbols as dimensions have them, or `"?"`. */
export type Contents = readonly Dim[];

/** Longer ones are no shapes. */
export const MAX_CONTENTS = 64;

export interface ContentsContext<K extends Op> {
  readonly attributes: AttributesOf<K>;
  readonly node: Node;
  readonly dtype: DType | undefined;
  /** Elements of an input where they are known. */
  contents(index: number): Contents | undefined;
  /** The same as numbers only. */
  numbers(index: number): readonly number[] | undefined;
  /** Dimensions of an input. */
  dims(index: number): readonly Dim[] | undefined;
}

export type ContentsEvaluator<K extends Op> = (c: ContentsContext<K>) => readonly (Contents | undefined)[];

/** Every element that steps along each axis reach, from the first on. */
function listStrided(
  data: Contents,
  first: number,
  axes: readonly { readonly count: number; readonly step: number }[],
): Contents {
  const [axis, ...rest] = axes;
  if (!axis) return [data[first] ?? '?'];
  return range(axis.count).flatMap((i) => listStrided(data, first + i * axis.step, rest));
}

/** Element by element, the shorter side repeated; `"?"` where the pair says nothing. */
function combinePairwise<K extends Op>(
  c: ContentsContext<K>,
  combine: (a: Dim, b: Dim) => Dim,
): [Contents | undefined] {
  const [a, b] = [c.contents(0), c.contents(1)];
  if (!a || !b || (a.length !== b.length && a.length !== 1 && b.length !== 1)) return [undefined];
  // Broadcasting of matrices is no matter of shapes.
  if (a.length > 1 && b.length > 1 && c.dims(0)?.length !== c.dims(1)?.length) return [undefined];
  const count = a.length === 1 ? b.length : a.length;
  return [
    Array.from({ length: count }, (_, i) =>
      combine(a[a.length === 1 ? 0 : i] ?? '?', b[b.length === 1 ? 0 : i] ?? '?'),
    ),
  ];
}

const mapNumbers =
  <K extends Op>(
    compute: (value: number) => number,
    mapSymbol: (symbol: string) => Dim = () => '?',
  ): ContentsEvaluator<K> =>
  (c) => [c.contents(0)?.map((value) => (typeof value === 'number' ? compute(value) : mapSymbol(value)))];

const keepContents: ContentsEvaluator<Op> = (c) => [c.contents(0)];

const makeArithmetic =
  <K extends Op>(numbers: (a: number, b: number) => number, symbols: (a: Dim, b: Dim) => Dim): ContentsEvaluator<K> =>
  (c) =>
    combinePairwise(c, (a, b) => (typeof a === 'number' && typeof b === 'number' ? numbers(a, b) : symbols(a, b)));

/** Products and quotients of symbols are of whole numbers only. */
const areWholeNumbers = (...dims: readonly Dim[]): boolean =>
  dims.every((dim) => typeof dim === 'string' || Number.isInteger(dim));

/** A comparison. A symbol stands for a size: positive, and unlike any negative number. */
const makeComparison = <K extends Op>(compare: (a: number, b: number) => boolean): ContentsEvaluator<K> =>
  makeArithmetic(
    (a, b) => Number(compare(a, b)),
    (a, b) => {
      if (typeof a === 'number' && a < 0) return Number(compare(a, 1));
      if (typeof b === 'number' && b < 0) return Number(compare(1, b));
      return a === b && a !== '?' ? Number(compare(1, 1)) : '?';
    },
  );

const makeLogical = <K extends Op>(decides: number): ContentsEvaluator<K> =>
  makeArithmetic(
    (a, b) => (a === decides || b === decides ? decides : 1 - decides),
    (a, b) => (a === decides || b === decides ? decides : '?'),
  );

export const evaluators: { readonly [K in Op]?: ContentsEvaluator<K> } = {
  Shape: (c) => [c.dims(0)?.slice(c.attributes.start, c.attributes.end)],
  Size(c) {
    const dims = c.dims(0);
    return [dims && [multiplyDims(dims)]];
  },
  Identity: keepContents,
  Reshape: keepContents,
  Flatten: keepContents,
  Squeeze: keepContents,
  Unsqueeze: keepContents,
  Transpose(c) {
    const [data, dims] = [c.contents(0), c.dims(0)];
    if (!data || !dims || !isStatic(dims)) return [undefined];
    const strides = computeStrides(dims);
    const perm = c.attributes.perm ?? range(dims.length).reverse();
    const taken = perm.map((axis) => ({ count: dims[axis] ?? 1, step: strides[axis] ?? 1 }));
    return [listStrided(data, 0, taken)];
  },
  Cast(c) {
    const to = findDtype(c.attributes.to);
    if (!to) return [undefined];
    if (isFloat(to)) return [c.contents(0)];
    return mapNumbers(to === 'bool' ? (x) => Number(x !== 0) : Math.trunc, (symbol) => (to === 'bool' ? 1 : symbol))(c);
  },
  Gather(c) {
    const [data, indices] = [c.dims(0)?.length === 1 ? c.contents(0) : undefined, c.numbers(1)];
    return [data && indices?.map((index) => data[index < 0 ? index + data.length : index] ?? '?')];
  },
  Slice(c) {
    const data = c.contents(0);
    const starts = c.attributes.starts ?? c.numbers(1);
    const ends = c.attributes.ends ?? c.numbers(2);
    const steps = c.node.inputs[4] ? c.numbers(4) : starts?.map(() => 1);
    if (!data || !starts || !ends || !steps) return [undefined];
    const dims = c.dims(0);
    const axes = c.attributes.axes ?? (c.node.inputs[3] ? c.numbers(3) : range(starts.length));
    if (!dims || !isStatic(dims) || !axes) return [undefined];
    const strides = computeStrides(dims);
    const taken = dims.map((count, axis) => ({ count, step: strides[axis] ?? 1 }));
    let first = 0;
    for (const { axis, start, step, count } of computeSliceSteps(dims, starts, ends, axes, steps)) {
      first += start * (strides[axis] ?? 1);
      taken[axis] = { count, step: step * (strides[axis] ?? 1) };
    }
    return [listStrided(data, first, taken)];
  },
  Concat(c) {
    if (c.dims(0)?.length !== 1) return [undefined];
    const parts = c.node.inputs.map((_, i) => c.contents(i));
    // An unknown part of known length leaves the others known.
    const known = parts.map((part, i) => {
      const size = c.dims(i)?.[0];
      return part ?? (typeof size === 'number' && size <= MAX_CONTENTS ? new Array<Dim>(size).fill('?') : undefined);
    });
    return [known.every((part) => part !== undefined) ? known.flat() : undefined];
  },
  Split(c) {
    const data = c.dims(0)?.length === 1 ? c.contents(0) : undefined;
    const sizes =
      c.attributes.split ??
      c.numbers(1) ??
      (data && c.attributes.num_outputs ? computeEvenParts(data.length, c.attributes.num_outputs) : undefined);
    if (!data || !sizes) return [undefined];
    let start = 0;
    return sizes.map((size) => {
      start += size;
      return data.slice(start - size, start);
    });
  },
  ConstantOfShape(c) {
    const size = c.numbers(0);
    const count = size?.reduce((product, dim) => product * dim, 1);
    const value = c.attributes.value?.data[0] ?? 0;
    return [count !== undefined && count <= MAX_CONTENTS ? new Array<Dim>(count).fill(Number(value)) : undefined];
  },
  Expand(c) {
    const [data, size] = [c.contents(0), c.numbers(1)];
    if (!data || !size || size.length > 1 || (c.dims(0)?.length ?? 0) > 1) return [undefined];
    const [count = 1] = size;
    return [data.length === 1 && count <= MAX_CONTENTS ? new Array<Dim>(count).fill(data[0] ?? '?') : data];
  },
  Range(c) {
    const [start, limit, delta] = [c.numbers(0)?.[0], c.numbers(1)?.[0], c.numbers(2)?.[0]];
    if (start === undefined || limit === undefined || !delta) return [undefined];
    const count = Math.max(0, Math.ceil((limit - start) / delta));
    return [count <= MAX_CONTENTS ? Array.from({ length: count }, (_, i) => start + i * delta) : undefined];
  },
  Add: makeArithmetic(
    (a, b) => a + b,
    (a, b) => (a === 0 ? b : b === 0 ? a : '?'),
  ),
  Sub: makeArithmetic(
    (a, b) => a - b,
    (a, b) => (b === 0 ? a : a === b && a !== '?' ? 0 : '?'),
  ),
  Mul: makeArithmetic(
    (a, b) => a * b,
    (a, b) => (areWholeNumbers(a, b) ? multiplyDims([a, b]) : '?'),
  ),
  Div(c) {
    const floats = c.dtype === undefined || isFloat(c.dtype);
    return makeArithmetic(
      (a, b) => (floats ? a / b : Math.trunc(a / b)),
      (a, b) => (areWholeNumbers(a, b) ? (divideDims(a, b) ?? '?') : '?'),
    )(c);
  },
  Min: makeArithmetic(Math.min, (a, b) => (a === b ? a : '?')),
  Max: makeArithmetic(Math.max, (a, b) =>
    a === b ? a : typeof a === 'number' && a <= 1 ? b : typeof b === 'number' && b <= 1 ? a : '?',
  ),
  Mod: makeArithmetic(
    (a, b) => ((a % b) + b) % b,
    () => '?',
  ),
  Neg: mapNumbers((x) => -x),
  Abs: mapNumbers(Math.abs, (symbol) => symbol),
  Floor: mapNumbers(Math.floor, (symbol) => symbol),
  Ceil: mapNumbers(Math.ceil, (symbol) => symbol),
  Sqrt: mapNumbers(Math.sqrt),
  ReduceProd: (c) => {
    const data = c.contents(0);
    return [data && c.node.inputs.length === 1 && areWholeNumbers(...data) ? [multiplyDims(data)] : undefined];
  },
  Equal: makeComparison((a, b) => a === b),
  Greater: makeComparison((a, b) => a > b),
  GreaterOrEqual: makeComparison((a, b) => a >= b),
  Less: makeComparison((a, b) => a < b),
  LessOrEqual: makeComparison((a, b) => a <= b),
  And: makeLogical(0),
  Or: makeLogical(1),
  Not: mapNumbers((x) => 1 - x),
  Where(c) {
    const [mask, yes, no] = [c.contents(0), c.contents(1), c.contents(2)];
    if (!mask || !yes || !no) return [undefined];
    const count = Math.max(mask.length, yes.length, no.length);
    if ([0, 1, 2].some((i) => (c.dims(i)?.length ?? 0) > 1)) return [undefined];
    const pick = (list: Contents, i: number) => list[list.length === 1 ? 0 : i] ?? '?';
    return [
      Array.from({ length: count }, (_, i) => {
        const condition = pick(mask, i);
        if (condition === '?') return pick(yes, i) === pick(no, i) ? pick(yes, i) : '?';
        return pick(condition === 0 ? no : yes, i);
      }),
    ];
  },
};
