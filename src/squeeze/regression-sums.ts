/*
 * The sums of a least-squares fit of a layer, Σ x xᵀ and Σ x tᵀ over images and output positions, x the patch that the
 * kernel sees and t its targets. Products are summed in float32 over a run of the engine, in float64 over runs.
 */
import type { Engine } from '../engine/engine.js';
import { ShiboriError } from '../errors.js';
import type { Graph, Value } from '../graph/model.js';
import { type Matrix, matrix } from '../linalg/matrix.js';
import { GraphBuilder } from '../ops/builder.js';
import { range, sizeOf } from '../tensor/dims.js';
import { seeded } from '../tensor/random.js';
import { expectFloat32, type Tensor, tensor } from '../tensor/tensor.js';
import { outputColumns, patchColumns } from './patches.js';
import type { SqueezeLayer } from './squeeze-layer.js';

/** Elements of the patches of one run (128 MiB of float32). */
const RUN_ELEMENTS = 2 ** 25;

/** Rows of a Gram matrix whose products with the rows from them on are computed apart: only one triangle is. */
const GRAM_BLOCK = 1152;

/** Where the blocks of a Gram matrix start. */
const blocksOf = (rows: number): number[] => range(Math.ceil(rows / GRAM_BLOCK)).map((k) => k * GRAM_BLOCK);

/** Adds a float32 tensor to float64 sums. */
export function addTo(sums: Float64Array, source: Tensor | undefined, what: string): void {
  const { data } = expectFloat32(source, what);
  for (let i = 0; i < data.length; i++) sums[i] = (sums[i] as number) + (data[i] as number);
}

/** Adds the rows from `first` on of a lower triangle, as far as they were computed. */
function addRows(sums: Matrix, source: Tensor | undefined, first: number, what: string): void {
  const { data, dims } = expectFloat32(source, what);
  const width = dims[1] ?? 0;
  for (let at = 0, row = first; at < data.length; row++) {
    const start = row * sums.cols;
    for (let j = 0; j < width; j++, at++) {
      sums.data[start + j] = (sums.data[start + j] as number) + (data[at] as number);
    }
  }
}

/** The upper triangle made that of the lower one. */
function mirror({ rows, cols, data }: Matrix): void {
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < i; j++) data[j * cols + i] = data[i * cols + j] as number;
  }
}

type Pair = readonly [x: Tensor, y: Tensor];

/** Images `from…to` of a batch, without a copy. */
function images(source: Tensor, from: number, to: number): Tensor<'float32'> {
  const { data, dims } = expectFloat32(source, 'Activations');
  const each = sizeOf(dims.slice(1));
  return tensor('float32', [to - from, ...dims.slice(1)], data.subarray(from * each, to * each));
}

/** Batches one behind the other. */
function joined(parts: readonly Tensor<'float32'>[]): Tensor<'float32'> {
  const [first] = parts;
  if (first && parts.length === 1) return first;
  const data = new Float32Array(parts.reduce((sum, part) => sum + part.data.length, 0));
  let at = 0;
  for (const part of parts) {
    data.set(part.data, at);
    at += part.data.length;
  }
  const count = parts.reduce((sum, { dims }) => sum + (dims[0] ?? 0), 0);
  return tensor('float32', [count, ...(first?.dims.slice(1) ?? [])], data);
}

/** The same images in batches of `size`, the last of what is left: products of many samples at once are faster. */
async function* batchesOf(pairs: AsyncIterable<Pair> | Iterable<Pair>, size: number): AsyncGenerator<Pair> {
  let held: (readonly [Tensor<'float32'>, Tensor<'float32'>])[] = [];
  let count = 0;
  const take = (): Pair => {
    const pair: Pair = [joined(held.map(([x]) => x)), joined(held.map(([, y]) => y))];
    held = [];
    count = 0;
    return pair;
  };
  for await (const [x, y] of pairs) {
    const batch = x.dims[0] ?? 0;
    for (let from = 0; from < batch; ) {
      const to = Math.min(batch, from + size - count);
      held.push([images(x, from, to), images(y, from, to)]);
      count += to - from;
      from = to;
      if (count === size) yield take();
    }
  }
  if (count > 0) yield take();
}

/** Sums over samples (images times positions). */
export interface RegressionSums {
  /** Number of samples. */
  count: number;
  /** Σ x xᵀ `[n, n]`, Σ x `[n]`. */
  readonly gram: Matrix;
  readonly x: Float64Array;
  /** Σ x tᵀ `[n, O]`, Σ t `[O]`, for targets t. */
  readonly cross: Matrix;
  readonly target: Float64Array;
}

/** What the targets of a regression are. */
export type Targets =
  /** The outputs y of the layer as given. */
  | { readonly kind: 'outputs' }
  /**
   * Outputs that a rectifier follows: y where it is positive, min(ŷ, 0) elsewhere, ŷ what the fit so far computes of x.
   * Fitting to them lowers ‖relu(ŷ) − relu(y)‖² at every step (majorisation; compare Zhang et al. 2015, arXiv:1505.06798).
   */
  | { readonly kind: 'rectified'; emit(b: GraphBuilder, x: Value): Value };

function sumsGraph(layer: SqueezeLayer, targets: Targets, wantGram: boolean, sampled: number | undefined): Graph {
  const b = new GraphBuilder();
  const dimsOf = (value: Value) => ['N', ...(value.type?.dims.slice(1) ?? [])];
  const x = b.input('x', 'float32', dimsOf(layer.x));
  const y = b.input('y', 'float32', dimsOf(layer.output));
  const positions = sampled === undefined ? undefined : b.input('positions', 'int64', [sampled]);
  const columns = patchColumns(b, x, layer, positions);
  let t = outputColumns(b, y, layer, positions);
  if (targets.kind === 'rectified') {
    const fitted = outputColumns(b, targets.emit(b, x), layer, positions);
    const zero = b.scalar(0);
    t = b.op('Where', [b.op('Greater', [t, zero]), t, b.op('Min', [fitted, zero])]);
  }
  const publish = (value: Value, name: string) => b.output(b.op('Identity', [value], {}, { outputName: name }));
  const total = (value: Value) => b.op('ReduceSum', [value, b.ints([1])], { keepdims: 0 });
  if (wantGram) {
    for (const from of blocksOf(layer.weight.rows)) {
      const to = Math.min(from + GRAM_BLOCK, layer.weight.rows);
      const block = b.op('Slice', [columns, b.ints([from]), b.ints([to]), b.ints([0])]);
      const before = b.op('Slice', [columns, b.ints([0]), b.ints([to]), b.ints([0])]);
      publish(b.op('Gemm', [block, before], { transB: 1 }), `gram/${from}`);
    }
    publish(total(columns), 'sum of x');
  }
  publish(b.op('Gemm', [columns, t], { transB: 1 }), 'cross');
  publish(total(t), 'sum of targets');
  return b.build(`moments of ${layer.path}`);
}

/** Positions of a layer's output that are taken in a run, in order: drawn by the run's number, so that all count alike. */
function positionsOf(layer: SqueezeLayer, perImage: number, run: number): Tensor<'int64'> {
  const drawn = seeded(run).permutation(sizeOf(layer.outputSize)).subarray(0, perImage);
  return tensor(
    'int64',
    [perImage],
    BigInt64Array.from(
      [...drawn].sort((a, b) => a - b),
      BigInt,
    ),
  );
}

/**
 * Sums of a layer's patches and targets.
 *
 * @param pairs inputs and outputs of the layer, the same images of both.
 * @param most positions of an image that are taken, others for other images: neighbours see nearly the same, so that few of
 *   many images tell more than many of few. Default: all.
 * @param known sums over the same images and positions whose patches need not be multiplied again.
 */
export async function regressionSums(
  engine: Engine,
  layer: SqueezeLayer,
  pairs: AsyncIterable<Pair> | Iterable<Pair>,
  targets: Targets,
  most = Number.POSITIVE_INFINITY,
  known?: RegressionSums,
): Promise<RegressionSums> {
  const { rows, cols } = layer.weight;
  const perImage = Math.min(most, sizeOf(layer.outputSize));
  const sums: RegressionSums = {
    count: 0,
    gram: known?.gram ?? matrix(rows, rows),
    x: known?.x ?? new Float64Array(rows),
    cross: matrix(rows, cols),
    target: new Float64Array(cols),
  };
  const each = Math.max(1, Math.floor(RUN_ELEMENTS / (rows * perImage)));
  const sampled = perImage < sizeOf(layer.outputSize) ? perImage : undefined;
  const session = await engine.load(sumsGraph(layer, targets, known === undefined, sampled));
  const blocks = known ? [] : blocksOf(rows);
  const into: Record<string, Tensor> = { cross: tensor('float32', [rows, cols], new Float32Array(rows * cols)) };
  for (const from of blocks) {
    const to = Math.min(from + GRAM_BLOCK, rows);
    into[`gram/${from}`] = tensor('float32', [to - from, to], new Float32Array((to - from) * to));
  }
  let run = 0;
  try {
    for await (const [x, y] of batchesOf(pairs, each)) {
      const positions = sampled === undefined ? {} : { positions: positionsOf(layer, sampled, run++) };
      const found = await session.run({ x, y, ...positions }, into);
      for (const first of blocks) addRows(sums.gram, found[`gram/${first}`], first, layer.path);
      if (!known) addTo(sums.x, found['sum of x'], layer.path);
      addTo(sums.cross.data, found.cross, layer.path);
      addTo(sums.target, found['sum of targets'], layer.path);
      sums.count += (x.dims[0] ?? 0) * perImage;
    }
  } finally {
    await session.dispose();
  }
  if (!known) mirror(sums.gram);
  if (sums.count === 0) throw new ShiboriError(`Layer "${layer.path}": there was no calibration image.`);
  return sums;
}

/** Means of inputs and targets. */
export interface Means {
  readonly meanX: Float64Array;
  readonly meanTarget: Float64Array;
}

export function meansOf({ count, x, target }: RegressionSums): Means {
  return { meanX: x.map((sum) => sum / count), meanTarget: target.map((sum) => sum / count) };
}

/** Cov(x) `[n, n]` of regression sums. */
export function centredGram(sums: RegressionSums): Matrix {
  const { meanX } = meansOf(sums);
  return centre(sums.gram, sums.count, meanX, meanX);
}

/** Cov(x, t) `[n, O]` of regression sums. */
export function centredCross(sums: RegressionSums): Matrix {
  const { meanX, meanTarget } = meansOf(sums);
  return centre(sums.cross, sums.count, meanX, meanTarget);
}

/** Second moments about the means. */
function centre(sums: Matrix, count: number, left: Float64Array, right: Float64Array): Matrix {
  const result = matrix(sums.rows, sums.cols);
  for (let i = 0, at = 0; i < sums.rows; i++) {
    const factor = left[i] as number;
    for (let j = 0; j < sums.cols; j++, at++) {
      result.data[at] = (sums.data[at] as number) / count - factor * (right[j] as number);
    }
  }
  return result;
}
