/*
 * The two factors of K-FAC's Fisher matrix (Martens, Grosse 2015, arXiv:1503.05671; for convolutions arXiv:1602.01407):
 *   input:     G = E[x xᵀ] over images and output positions, x the patch that the kernel sees
 *   gradient:  M = E over images of Σ over positions g gᵀ, g = d(−log p(label | image)) / d output
 * with labels drawn from the model's own prediction (the Fisher matrix), or given (the empirical one). Products are summed
 * in float32 over a run of the engine, in float64 over runs.
 */
import type { Engine, Session } from '../engine/engine.js';
import { ShiboriError } from '../errors.js';
import type { Graph, Value } from '../graph/model.js';
import { outputKind } from '../graph/output-kind.js';
import { type Matrix, matrix } from '../linalg/matrix.js';
import { GraphBuilder } from '../ops/builder.js';
import { startRewrite } from '../passes/rewrite.js';
import { sizeOf } from '../tensor/dims.js';
import { seeded } from '../tensor/random.js';
import { expectFloat32, float32, type Tensor, tensor } from '../tensor/tensor.js';
import { appendLogProbabilities } from './divergence.js';
import { outputColumns, patchColumns } from './patches.js';
import type { SqueezeLayer } from './squeeze-layer.js';

/** What appends gradients to a graph that is being built: `appendGradients` of `autodiff/`. */
export type AppendGradients = (b: GraphBuilder, of: Value, wrt: readonly Value[]) => ReadonlyMap<Value, Value>;

/** Elements of the patches of one run (64 MiB of float32). */
const RUN_ELEMENTS = 2 ** 24;

/** Adds a float32 tensor to float64 sums. */
function add(sums: Float64Array, source: Tensor | undefined, what: string): void {
  const { data } = expectFloat32(source, what);
  for (let i = 0; i < data.length; i++) sums[i] = (sums[i] as number) + (data[i] as number);
}

/** Images `from…to` of a batch, without a copy. */
function images(source: Tensor, from: number, to: number): Tensor<'float32'> {
  const { data, dims } = expectFloat32(source, 'Activations');
  const each = sizeOf(dims.slice(1));
  return tensor('float32', [to - from, ...dims.slice(1)], data.subarray(from * each, to * each));
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
   * Outputs that a rectifier follows: y where it is positive, min(ŷ, 0) elsewhere, ŷ = `map`ᵀ x + `bias` the fit so far.
   * Fitting to them lowers ‖relu(ŷ) − relu(y)‖² at every step (majorisation; compare Zhang et al. 2015, arXiv:1505.06798).
   */
  | { readonly kind: 'rectified'; readonly map: Matrix; readonly bias: Float64Array };

function sumsGraph(layer: SqueezeLayer, targets: Targets, wantGram: boolean): Graph {
  const b = new GraphBuilder();
  const dimsOf = (value: Value) => ['N', ...(value.type?.dims.slice(1) ?? [])];
  const x = b.input('x', 'float32', dimsOf(layer.x));
  const y = b.input('y', 'float32', dimsOf(layer.output));
  const columns = patchColumns(b, x, layer);
  let t = outputColumns(b, y, layer);
  if (targets.kind === 'rectified') {
    const map = b.initializer('constant/map', float32(targets.map.data, [targets.map.rows, targets.map.cols]));
    const bias = b.initializer('constant/bias', float32(targets.bias, [targets.bias.length, 1]));
    const fitted = b.op('Add', [b.op('Gemm', [map, columns], { transA: 1 }), bias]);
    const zero = b.scalar(0);
    t = b.op('Where', [b.op('Greater', [t, zero]), t, b.op('Min', [fitted, zero])]);
  }
  const publish = (value: Value, name: string) => b.output(b.op('Identity', [value], {}, { outputName: name }));
  const total = (value: Value) => b.op('ReduceSum', [value, b.ints([1])], { keepdims: 0 });
  if (wantGram) {
    publish(b.op('Gemm', [columns, columns], { transB: 1 }), 'gram');
    publish(total(columns), 'sum of x');
  }
  publish(b.op('Gemm', [columns, t], { transB: 1 }), 'cross');
  publish(total(t), 'sum of targets');
  return b.build(`moments of ${layer.path}`);
}

/**
 * Sums of a layer's patches and targets.
 *
 * @param pairs inputs and outputs of the layer, the same images of both.
 * @param samples stop after about so many (images times positions).
 * @param known sums over the same images whose patches need not be multiplied again.
 */
export async function regressionSums(
  engine: Engine,
  layer: SqueezeLayer,
  pairs: AsyncIterable<readonly [x: Tensor, y: Tensor]>,
  targets: Targets,
  samples: number,
  known?: RegressionSums,
): Promise<RegressionSums> {
  const { rows, cols } = layer.weight;
  const positions = sizeOf(layer.outputSize);
  const sums: RegressionSums = {
    count: 0,
    gram: known?.gram ?? matrix(rows, rows),
    x: known?.x ?? new Float64Array(rows),
    cross: matrix(rows, cols),
    target: new Float64Array(cols),
  };
  const each = Math.max(1, Math.floor(RUN_ELEMENTS / (rows * positions)));
  const session = await engine.load(sumsGraph(layer, targets, known === undefined));
  const into = {
    cross: tensor('float32', [rows, cols], new Float32Array(rows * cols)),
    ...(known ? {} : { gram: tensor('float32', [rows, rows], new Float32Array(rows * rows)) }),
  };
  try {
    for await (const [x, y] of pairs) {
      const count = x.dims[0] ?? 0;
      for (let from = 0; from < count && sums.count < samples; from += each) {
        const to = Math.min(count, from + each);
        const found = await session.run({ x: images(x, from, to), y: images(y, from, to) }, into);
        if (!known) {
          add(sums.gram.data, found.gram, layer.path);
          add(sums.x, found['sum of x'], layer.path);
        }
        add(sums.cross.data, found.cross, layer.path);
        add(sums.target, found['sum of targets'], layer.path);
        sums.count += (to - from) * positions;
      }
      if (sums.count >= samples) break;
    }
  } finally {
    await session.dispose();
  }
  if (sums.count === 0) throw new ShiboriError(`Layer "${layer.path}": there was no calibration image.`);
  return sums;
}

/** Moments about the mean of regression sums. */
export interface CentredMoments {
  /** Cov(x) `[n, n]`, Cov(x, t) `[n, O]`. */
  readonly gram: Matrix;
  readonly cross: Matrix;
  readonly meanX: Float64Array;
  readonly meanTarget: Float64Array;
}

/** Means and moments about them: a layer's bias takes the means, so that no rank is spent on them. */
export function centred({ count, gram, x, cross, target }: RegressionSums): CentredMoments {
  const meanX = x.map((sum) => sum / count);
  const meanTarget = target.map((sum) => sum / count);
  const centre = (sums: Matrix, left: Float64Array, right: Float64Array): Matrix => {
    const result = matrix(sums.rows, sums.cols);
    for (let i = 0, at = 0; i < sums.rows; i++) {
      const factor = left[i] as number;
      for (let j = 0; j < sums.cols; j++, at++) {
        result.data[at] = (sums.data[at] as number) / count - factor * (right[j] as number);
      }
    }
    return result;
  };
  return { gram: centre(gram, meanX, meanX), cross: centre(cross, meanX, meanTarget), meanX, meanTarget };
}

/** Where the labels of the loss come from. */
export interface GradientMomentOptions {
  /** Class of each image: the empirical Fisher matrix. Default: drawn from the model's prediction. */
  readonly labels?: ArrayLike<number>;
  /** Seed of the draws. Default: 0. */
  readonly seed?: number;
}

/** For every image and class what is added to log p before the largest is taken: Gumbel noise draws from p. */
function drawingNoise(first: number, batch: number, classes: number, { labels, seed = 0 }: GradientMomentOptions) {
  const noise = new Float32Array(batch * classes);
  for (let n = 0; n < batch; n++) {
    if (labels) {
      noise[n * classes + (labels[first + n] ?? 0)] = FIXED;
      continue;
    }
    const stream = seeded(seed, first + n);
    for (let c = 0; c < classes; c++) noise[n * classes + c] = -Math.log(-Math.log(stream.uniform() + 2 ** -33));
  }
  return tensor('float32', [batch, classes], noise);
}

/** More than any log-probability can make up for. */
const FIXED = 1e6;

function gradientGraph(graph: Graph, layers: readonly SqueezeLayer[], batch: number, gradients: AppendGradients) {
  const [input] = graph.inputs;
  const [scores] = graph.outputs;
  const classes = scores?.type?.dims[1];
  if (!input?.type || !scores || typeof classes !== 'number') {
    throw new ShiboriError('Only classifiers are squeezed by their loss: the first output must be [N, classes].');
  }
  const { builder: b, of } = startRewrite(graph, {
    inputDims: { [input.name]: [batch, ...input.type.dims.slice(1)] },
    outputs: [scores],
  });
  b.scope = 'moments';
  const noise = b.input('moments/noise', 'float32', [batch, classes]);
  const logP = appendLogProbabilities(b, of(scores), outputKind(graph));
  const drawn = b.op('ArgMax', [b.op('Add', [logP, noise])], { axis: 1, keepdims: 1 });
  const numbers = b.initializer(
    'constant/classes',
    tensor(
      'int64',
      [classes],
      BigInt64Array.from({ length: classes }, (_, c) => BigInt(c)),
    ),
  );
  const picked = b.op('Where', [b.op('Equal', [drawn, numbers]), logP, b.scalar(0)]);
  const loss = b.op('Neg', [b.op('ReduceSum', [picked], { keepdims: 0 })]);
  const outputs = layers.map(({ output }) => of(output));
  const found = gradients(b, loss, outputs);
  for (const [i, layer] of layers.entries()) {
    const gradient = outputs[i] && found.get(outputs[i]);
    if (!gradient) continue;
    const columns = outputColumns(b, gradient, layer);
    b.output(b.op('Gemm', [columns, columns], { transB: 1 }, { outputName: `moments/${layer.path}` }));
  }
  return { graph: b.build('gradient moments'), classes, input: input.name };
}

/**
 * Second moments M `[O, O]` of the loss gradient at the output of each layer, averaged over images.
 *
 * @param chunks images in batches; a session is made for each size of batch among them.
 * @throws ShiboriError naming the layer whose moments are not finite.
 */
export async function gradientMoments(
  engine: Engine,
  graph: Graph,
  layers: readonly SqueezeLayer[],
  chunks: readonly Tensor[],
  gradients: AppendGradients,
  options: GradientMomentOptions = {},
): Promise<Map<string, Matrix>> {
  const sums = new Map(layers.map(({ path, outputs }) => [path, matrix(outputs, outputs)]));
  const sessions = new Map<number, { session: Session; classes: number; input: string }>();
  let seen = 0;
  try {
    for (const chunk of chunks) {
      const batch = chunk.dims[0] ?? 0;
      let ready = sessions.get(batch);
      if (!ready) {
        const { graph: moments, classes, input } = gradientGraph(graph, layers, batch, gradients);
        ready = { session: await engine.load(moments), classes, input };
        sessions.set(batch, ready);
      }
      const { session, classes, input } = ready;
      const found = await session.run({ [input]: chunk, 'moments/noise': drawingNoise(seen, batch, classes, options) });
      for (const [path, { data }] of sums) add(data, found[`moments/${path}`], path);
      seen += batch;
    }
  } finally {
    for (const { session } of sessions.values()) await session.dispose();
  }
  if (seen === 0) throw new ShiboriError('There was no calibration image to take gradients at.');
  for (const [path, { data }] of sums) {
    for (let i = 0; i < data.length; i++) data[i] = (data[i] as number) / seen;
    if (data.every(Number.isFinite)) continue;
    throw new ShiboriError(
      `Layer "${path}": the loss gradient at its output is NaN or infinite for calibration images.`,
    );
  }
  return sums;
}
