import type { Dim } from './model.js';

/** A product of a number and symbols: what a symbolic size looks like inside reshape arithmetic. */
interface DimProduct {
  readonly factor: number;
  readonly symbols: readonly string[];
}

const UNKNOWN = '?';

function parseDim(dim: Dim): DimProduct {
  if (typeof dim === 'number') return { factor: dim, symbols: [] };
  const parts = dim.split('*');
  const first = Number(parts[0]);
  return Number.isInteger(first) ? { factor: first, symbols: parts.slice(1) } : { factor: 1, symbols: parts };
}

function formatDimProduct({ factor, symbols }: DimProduct): Dim {
  if (symbols.length === 0) return factor;
  return factor === 1 ? symbols.join('*') : [factor, ...symbols].join('*');
}

/** The product of dimensions, which may hold symbols: `[“N”, 112]` gives `"112*N"`. */
export function multiplyDims(dims: readonly Dim[]): Dim {
  let factor = 1;
  const symbols: string[] = [];
  for (const dim of dims) {
    const product = parseDim(dim);
    factor *= product.factor;
    symbols.push(...product.symbols);
  }
  return factor === 0 ? 0 : formatDimProduct({ factor, symbols: symbols.sort() });
}

/** `total / part`, or `undefined` when the division leaves a rest or unknown symbols. */
export function divideDims(total: Dim, part: Dim): Dim | undefined {
  const numerator = parseDim(total);
  const denominator = parseDim(part);
  const symbols = [...numerator.symbols];
  for (const symbol of denominator.symbols) {
    const at = symbols.indexOf(symbol);
    if (at < 0 || symbol === UNKNOWN) return undefined;
    symbols.splice(at, 1);
  }
  if (denominator.factor === 0 || numerator.factor % denominator.factor !== 0) return undefined;
  return formatDimProduct({ factor: numerator.factor / denominator.factor, symbols });
}

/** How many elements dimensions hold for each of a batch (`"17*N"`, 16 of `"N"`: 272); `undefined` where it is not known. */
export function countElementsPer(batch: Dim, dims: readonly Dim[]): number | undefined {
  const elements = divideDims(multiplyDims(dims), batch);
  return typeof elements === 'number' ? elements : undefined;
}

/** Whether all dimensions are numbers. */
export function isStatic(dims: readonly Dim[]): dims is readonly number[] {
  return dims.every((dim) => typeof dim === 'number');
}

/**
 * Dimensions of an element-wise result under ONNX's (NumPy's) broadcasting, or `undefined` when they do not fit.
 * A symbol matches itself and 1; a symbol against a number is taken to be that number.
 */
export function broadcastDims(a: readonly Dim[], b: readonly Dim[]): Dim[] | undefined {
  const rank = Math.max(a.length, b.length);
  const result: Dim[] = [];
  for (let axis = 0; axis < rank; axis++) {
    const left = a[axis - (rank - a.length)] ?? 1;
    const right = b[axis - (rank - b.length)] ?? 1;
    if (left === right || right === 1) result.push(left);
    else if (left === 1) result.push(right);
    else if (typeof left === 'string') result.push(right);
    else if (typeof right === 'string') result.push(left);
    else return undefined;
  }
  return result;
}

/** For messages: `[N, 3, 64, 64]`. */
export function formatDims(dims: readonly Dim[] | undefined): string {
  return dims === undefined ? 'unknown dimensions' : `[${dims.join(', ')}]`;
}
