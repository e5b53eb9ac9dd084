/* Between the dense weight of a linear layer and a tensor train, in both layouts of `modes.ts`. */
import type { MatrixProducts } from '../linalg/products.js';
import { computeStrides } from '../tensor/dims.js';
import { checkRequest, getTrainModes, type TtRequest, type TtShape } from './modes.js';
import { type Core, reconstructTensor, type TruncatedTrain, ttSvd } from './tensor-train.js';

type Floats = Float32Array | Float64Array;

/** `source` with its axes in another order: axis k of the result is axis `order[k]` of the source. */
function permute<T extends Floats>(source: T, dims: readonly number[], order: readonly number[], target: T): T {
  const strides = computeStrides(dims);
  const outer = order.slice(0, -1).map((axis) => ({ size: dims[axis] ?? 1, stride: strides[axis] ?? 1 }));
  const last = order.at(-1) ?? 0;
  const size = dims[last] ?? 1;
  const stride = strides[last] ?? 1;
  let at = 0;
  const walk = (axis: number, from: number): void => {
    const current = outer[axis];
    if (current) {
      for (let i = 0; i < current.size; i++) walk(axis + 1, from + i * current.stride);
      return;
    }
    for (let i = 0; i < size; i++) target[at++] = source[from + i * stride] as number;
  };
  walk(0, 0);
  return target;
}

/** For every axis of the paired tensor `[o1, i1, o2, i2, …]`, its axis in `[o1, …, od, i1, …, id]`. */
function buildPairedOrder(count: number): number[] {
  return Array.from({ length: 2 * count }, (_, axis) => (axis % 2 === 0 ? axis / 2 : count + (axis - 1) / 2));
}

/**
 * The elements of a weight `[out, in]` in the order of the train's tensor; the same array for layout tt, which only
 * reshapes.
 */
export function toTrainOrder<T extends Floats>(weight: T, shape: TtRequest): T {
  if (shape.layout === 'tt') return weight;
  const { outModes, inModes } = shape;
  return permute(weight, [...outModes, ...inModes], buildPairedOrder(outModes.length), weight.slice() as T);
}

/** The elements of the train's tensor as the weight `[out, in]`: the inverse of `toTrainOrder`. */
export function fromTrainOrder<T extends Floats>(values: T, shape: TtRequest): T {
  if (shape.layout === 'tt') return values;
  const { outModes, inModes } = shape;
  const order = buildPairedOrder(outModes.length);
  const dims = order.map((axis) => [...outModes, ...inModes][axis] ?? 1);
  const inverse = order.map((_, axis) => order.indexOf(axis));
  return permute(values, dims, inverse, values.slice() as T);
}

/** A weight as a tensor train. */
export interface TtWeight {
  /** The request with the ranks that the train really has. */
  readonly shape: TtShape;
  readonly train: TruncatedTrain;
}

/**
 * The TT-SVD of a weight `[out, in]` in the requested layout. Errors and bounds are those of the weight too: the layouts
 * only reorder it.
 *
 * @param layer name of the layer, for messages.
 * @throws UsageError when the modes or ranks do not fit the weight.
 */
export async function decomposeWeight(
  layer: string,
  weight: { readonly rows: number; readonly cols: number; readonly data: Floats },
  request: TtRequest,
  products: MatrixProducts,
): Promise<TtWeight> {
  checkRequest(layer, request, weight.rows, weight.cols);
  const { layout, outModes, inModes } = request;
  const train = await ttSvd(toTrainOrder(weight.data, request), getTrainModes(request), request.bonds, products);
  return { shape: { layout, outModes, inModes, bonds: train.ranks }, train };
}

/** The dense weight `[out, in]`, row-major, that cores stand for. */
export async function reconstructWeight(
  shape: TtShape,
  cores: readonly Float64Array[],
  products: MatrixProducts,
): Promise<Float64Array> {
  const modes = getTrainModes(shape);
  const ranks = [1, ...shape.bonds, 1];
  const train = modes.map(
    (mode, k): Core => ({
      dims: [ranks[k] ?? 1, mode, ranks[k + 1] ?? 1],
      data: cores[k] ?? new Float64Array(0),
    }),
  );
  return fromTrainOrder(await reconstructTensor({ modes, ranks: shape.bonds, cores: train }, products), shape);
}
