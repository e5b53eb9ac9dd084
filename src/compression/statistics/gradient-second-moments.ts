/*
 * The gradient's factor of K-FAC's Fisher matrix (Martens, Grosse 2015, arXiv:1503.05671; for convolutions
 * arXiv:1602.01407); the input's is in `sample-moments.ts`:
 *   M = E over images of Σ over positions g gᵀ, g = d(−log p(label | image)) / d output
 * with labels drawn from the model's own prediction (the Fisher matrix), or given (the empirical one).
 */
import { appendGradients } from '../../autodiff/gradient.js';
import type { Engine } from '../../engine/engine.js';
import { BatchSessions } from '../../engine/pieces.js';
import { ShiboriError } from '../../errors.js';
import type { Graph, Value } from '../../graph/model.js';
import { type Matrix, matrix } from '../../linalg/matrix.js';
import type { GraphBuilder } from '../../ops/builder.js';
import { appendLogProbabilities } from '../../ops/scores/append.js';
import { describeScores, type Scores } from '../../ops/scores/scores.js';
import { startRewrite } from '../../passes/rewrite.js';
import { seeded } from '../../tensor/random.js';
import { expectFloat32, type Tensor, tensor } from '../../tensor/tensor.js';
import { at } from '../../values.js';
import type { CompressibleLayer } from '../compressible-layers.js';
import { appendOutputColumns } from './patch-columns.js';

/** Where the labels of the loss come from. */
export interface GradientSecondMomentOptions {
  /** Class of each image: the empirical Fisher matrix. Default: drawn from the model's prediction. */
  readonly labels?: ArrayLike<number>;
  /** Seed of the draws. Default: 0. */
  readonly seed?: number;
}

/**
 * For every image and class what is added to log p before the largest is taken: Gumbel noise draws from p; logistic noise
 * where each class is drawn by itself.
 */
function drawLabelNoise(
  first: number,
  batch: number,
  { classes, each }: { readonly classes: number; readonly each: boolean },
  { labels, seed = 0 }: GradientSecondMomentOptions,
) {
  const noise = new Float32Array(batch * classes);
  for (let n = 0; n < batch; n++) {
    if (labels) {
      if (each) noise.fill(-FIXED_LABEL_NOISE, n * classes, (n + 1) * classes);
      noise[n * classes + at(labels, first + n)] = FIXED_LABEL_NOISE;
      continue;
    }
    const stream = seeded(seed, first + n);
    for (let c = 0; c < classes; c++) {
      const u = stream.uniform() + 2 ** -33;
      noise[n * classes + c] = each ? Math.log(u / (1 - u)) : -Math.log(-Math.log(u));
    }
  }
  return tensor('float32', [batch, classes], noise);
}

/** More than any log-probability can make up for. */
const FIXED_LABEL_NOISE = 1e6;

/** Adds a float32 tensor to float64 sums. */
function addToSums(sums: Float64Array, source: Tensor | undefined, what: string): void {
  const { data } = expectFloat32(source, what);
  for (let i = 0; i < data.length; i++) sums[i] = (sums[i] as number) + (data[i] as number);
}

/** −log p of one class of each image: that with the largest sum of log p and noise. */
function appendDrawnClassLoss(b: GraphBuilder, logP: Value, noise: Value, classes: number): Value {
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
  return b.op('Neg', [b.op('ReduceSum', [picked], { keepdims: 0 })]);
}

/**
 * −log p of the labels of each image where every class is right or wrong by itself. A difference of two Gumbel variables is
 * logistic: a class is drawn where log p + noise > log(1 − p), with noise of log(u / (1 − u)).
 */
function appendDrawnLabelsLoss(b: GraphBuilder, yes: Value, no: Value, noise: Value): Value {
  const isRight = b.op('Greater', [b.op('Add', [yes, noise]), no]);
  return b.op('Neg', [b.op('ReduceSum', [b.op('Where', [isRight, yes, no])], { keepdims: 0 })]);
}

/** Describes the input and the scores of a classifier. */
interface ClassifierSubject {
  readonly input: Value;
  readonly scores: Scores;
  /** Whether every class is right or wrong by itself. */
  readonly each: boolean;
}

function findSubject(graph: Graph): ClassifierSubject {
  const [input] = graph.inputs;
  const scores = describeScores(graph);
  if (!input?.type || !scores) {
    throw new ShiboriError('Only classifiers are compressed by their loss: the first output must be [N, classes].', {
      code: 'unsupported-model',
    });
  }
  return { input, scores, each: scores.labels !== 'single-label' && scores.labels !== 'binary' };
}

function buildGradientGraph(
  graph: Graph,
  layers: readonly CompressibleLayer[],
  batch: number,
  { input, scores }: ClassifierSubject,
): Graph {
  const { builder: b, mapValue: of } = startRewrite(graph, {
    inputDims: { [input.name]: [batch, ...(input.type?.dims.slice(1) ?? [])] },
    outputs: [scores.output],
  });
  return b.within('moments', () => {
    const { classes } = scores;
    const noise = b.input('moments/noise', 'float32', [batch, classes]);
    const found = appendLogProbabilities(b, of, scores);
    const loss = found.no
      ? appendDrawnLabelsLoss(b, found.yes, found.no, noise)
      : appendDrawnClassLoss(b, found.yes, noise, classes);
    const outputs = layers.map(({ output }) => of(output));
    const derived = appendGradients(b, loss, outputs, { partial: true });
    // A graph gives something, also where no layer has a gradient.
    b.output(loss);
    for (const [i, layer] of layers.entries()) {
      const gradient = outputs[i] && derived.get(outputs[i]);
      if (!gradient) continue;
      const columns = appendOutputColumns(b, gradient, layer);
      b.output(b.op('Gemm', [columns, columns], { transB: 1 }, { outputName: `moments/${layer.path}` }));
    }
    return b.build('gradient moments');
  });
}

/**
 * Second moments M `[O, O]` of the loss gradient at the output of each layer, averaged over images. A layer that reaches the
 * scores through operators without a gradient alone (ArgMax) has none.
 *
 * @param chunks Images in batches; a session is loaded for each size of batch among them.
 * @throws ShiboriError naming the layer whose second moments are not finite.
 */
export async function computeGradientSecondMoments(
  engine: Engine,
  graph: Graph,
  layers: readonly CompressibleLayer[],
  chunks: readonly Tensor[],
  options: GradientSecondMomentOptions = {},
): Promise<Map<string, Matrix>> {
  const sums = new Map(layers.map(({ path, outputs }) => [path, matrix(outputs, outputs)]));
  const subject = findSubject(graph);
  const labelled = { classes: subject.scores.classes, each: subject.each };
  const sessions = new BatchSessions(engine, (batch) => buildGradientGraph(graph, layers, batch, subject));
  let seen = 0;
  try {
    for (const chunk of chunks) {
      const batch = at(chunk.dims, 0);
      const session = await sessions.loadFor(batch);
      const noise = drawLabelNoise(seen, batch, labelled, options);
      const found = await session.run({ [subject.input.name]: chunk, 'moments/noise': noise });
      for (const [path, { data }] of sums) {
        const moments = found[`moments/${path}`];
        if (moments) addToSums(data, moments, path);
        else sums.delete(path);
      }
      seen += batch;
    }
  } finally {
    await sessions.dispose();
  }
  if (seen === 0)
    throw new ShiboriError('There was no calibration image to take gradients at.', { code: 'unsupported-model' });
  for (const [path, { data }] of sums) {
    for (let i = 0; i < data.length; i++) data[i] = (data[i] as number) / seen;
    if (data.every(Number.isFinite)) continue;
    throw new ShiboriError(
      `Layer "${path}": the loss gradient at its output is NaN or infinite for calibration images.`,
      { code: 'unsupported-model' },
    );
  }
  return sums;
}
