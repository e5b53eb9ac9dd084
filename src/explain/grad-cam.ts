/**
 * Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391).
 *
 * For the score s of the target class and the activations A of a layer, alpha_c = mean over positions of ds/dA_c and
 * map = ReLU(sum_c alpha_c A_c). The score is the class's logit, or the log-probability of a model that ends with a
 * log-softmax (see `explainedScores`). One graph computes scores, activations and gradients for a whole batch; images do not interact, so the batch's scores are summed before the one
 * backward pass. Only the part of the graph after the layer is differentiated.
 */
import { appendGradients } from '../autodiff/gradient.js';
import type { Engine } from '../engine/engine.js';
import { BatchSessions, splitIntoPieces } from '../engine/pieces.js';
import { ShiboriError, UsageError } from '../errors.js';
import { findFixedBatch } from '../graph/batch.js';
import { formatDims } from '../graph/dims.js';
import type { Graph, Value } from '../graph/model.js';
import type { GraphBuilder } from '../ops/builder.js';
import { appendClassScores, appendColumns, chooseExplainedScores, type ScoreChoice } from '../ops/scores/append.js';
import { findScores, type OutputKind, type Scores, type Task } from '../ops/scores/scores.js';
import { startRewrite } from '../passes/rewrite.js';
import { expectFloat32, float32, int64, type Tensor } from '../tensor/tensor.js';
import { describeUnclearLayers, findDefaultLayer, findNamedLayer, type SpatialLayer } from './layers.js';
import { computeGradCamMaps, finishMaps } from './map.js';
import { type Grid, toChannelsFirst } from './spatial.js';

/** The class score of one image, and the map that explains it. */
export interface Explanation {
  /** Class with the highest score; of a regression, the output with the highest value. */
  readonly predicted: number;
  /** Class that the map explains. */
  readonly target: number;
  /** The scores that are explained, `[classes]`. */
  readonly scores: Float32Array;
  /** What probabilities are computed from, `[columns]`: see `Scores.source`. */
  readonly source: Float32Array;
  /** `[H, W]` at the input's size, 0 … 1. */
  readonly map: Tensor<'float32'>;
}

/** Explains batches of images for one layer. */
export interface Explainer {
  /** Module path of the layer. */
  readonly layer: string;
  /** Number of classes. */
  readonly classes: number;
  /** What a user should know of the choice of the layer, in sentences. */
  readonly notes: readonly string[];
  /** What the model's scores are. */
  readonly scores: Scores;
  /** What the maps explain. */
  readonly explainedKind: OutputKind;
  /**
   * @param images `[N, C, H, W]` float32, preprocessed.
   * @param targets class per image; `undefined` explains the predicted class.
   * @throws UsageError for a class out of range.
   */
  explain(images: Tensor<'float32'>, targets?: readonly (number | undefined)[]): Promise<Explanation[]>;
  /** Gives the memory of its sessions back. */
  dispose(): Promise<void>;
}

/** Options of {@link gradCam}. */
export interface GradCamOptions {
  /** Module path, or a unique suffix of one. Default: see `spatialLayers`. */
  readonly layer?: string | undefined;
  /** `logits`, or the model's own `output`. Default: see `explainedScores`. */
  readonly score?: ScoreChoice | undefined;
  /** Default: `classification`; of a regression each output is explained as it is. */
  readonly task?: Task | undefined;
}

/** What is explained: the one input, the scores, the layer and how it lies on the image. */
interface Subject {
  readonly input: Value;
  readonly scores: Scores;
  readonly choice: ScoreChoice | undefined;
  readonly layer: Omit<SpatialLayer, 'isDefault'>;
}

function findSubject(graph: Graph, { layer: name, score: choice, task }: GradCamOptions): Subject {
  const [input, ...others] = graph.inputs;
  if (!input?.type)
    throw new ShiboriError('The model has no typed input to feed images to.', { code: 'unsupported-model' });
  if (others.length > 0) {
    throw new UsageError(
      `The model takes several inputs (${graph.inputs.map((one) => `"${one.name}" ${formatDims(one.type?.dims)}`).join(', ')}): Grad-CAM explains models of one input, the images. Export it with the others as constants.`,
    );
  }
  const scores = findScores(graph, { task });
  if (choice === 'logits' && !scores.logits) {
    throw new UsageError(
      "The graph shows no logits in front of its probabilities: explain its output (`score: 'output'`).",
      { option: 'score' },
    );
  }
  const layer = name === undefined ? findDefaultLayer(graph) : findNamedLayer(graph, name);
  return { input, scores, choice, layer };
}

function buildExplainingGraph(
  graph: Graph,
  { input, layer, scores: described, choice }: Subject,
  batch: number,
): Graph {
  const { classes, source } = described;
  const { builder: b, mapValue } = startRewrite(graph, {
    inputDims: { [input.name]: [batch, ...(input.type?.dims.slice(1) ?? [])] },
    outputs: [described.output, source.value, layer.output],
  });
  return b.within('grad-cam', () => {
    const scores = appendClassScores(b, mapValue, described, choice);
    const target = b.input('target', 'int64', [batch]);
    const predicted = b.op('ArgMax', [scores], { axis: 1, keepdims: 0 });
    const chosen = b.op('Where', [b.op('Less', [target, b.scalar(0, 'int64')]), predicted, target]);
    const values = b.initializer('constant/one-hot', float32([0, 1]));
    const oneHot = b.op('OneHot', [chosen, b.ints([classes]), values], { axis: 1 });
    const score = b.op('ReduceSum', [b.op('Mul', [scores, oneHot])], { keepdims: 0 });
    const a = mapValue(layer.output);
    const gradient = appendGradients(b, score, [a]).get(a);
    b.output(b.op('Identity', [scores], {}, { outputName: 'grad-cam/scores' }));
    b.output(b.op('Identity', [appendColumns(b, mapValue(source.value))], {}, { outputName: 'grad-cam/source' }));
    b.output(b.op('Identity', [chosen], {}, { outputName: 'grad-cam/target' }));
    for (const [name, value] of Object.entries({ activation: a, gradient })) {
      if (!value) continue;
      const maps = toChannelsFirst(b, value, layer.grid, batch);
      b.output(b.op('Identity', [maps], {}, { outputName: `grad-cam/${name}` }));
    }
    return b.build('grad-cam');
  });
}

/**
 * Makes what adds Grad-CAM's raw maps `[B, h, w]` to a graph, for a layer on this grid: of the scores `[B, classes]` that
 * one-hot rows pick. What it adds can be differentiated again, so that a map can be part of a loss.
 */
export function createMapAppender(grid: Grid) {
  return (b: GraphBuilder, scores: Value, picked: Value, activation: Value): Value => {
    const batch = Number(scores.type?.dims[0]);
    const score = b.op('ReduceSum', [b.op('Mul', [scores, picked])], { keepdims: 0 });
    const gradient = appendGradients(b, score, [activation]).get(activation);
    if (!gradient)
      throw new ShiboriError('The scores do not depend on the layer whose maps are wanted.', {
        code: 'unsupported-model',
      });
    const weights = b.op('ReduceMean', [toChannelsFirst(b, gradient, grid, batch), b.ints([2, 3])], { keepdims: 1 });
    const weighted = b.op('Mul', [weights, toChannelsFirst(b, activation, grid, batch)]);
    return b.op('Relu', [b.op('ReduceSum', [weighted, b.ints([1])], { keepdims: 0 })]);
  };
}

/**
 * Prepares Grad-CAM for a graph.
 *
 * @param graph a classifier of one input, the images `[N, C, H, W]`.
 * @throws UsageError for a layer that is unknown or has no map, and for a model of several inputs.
 */
export async function gradCam(engine: Engine, graph: Graph, options: GradCamOptions = {}): Promise<Explainer> {
  const subject = findSubject(graph, options);
  const { input, layer, scores: described } = subject;
  const { classes, columns } = described;
  // Fails now rather than with the first image, where an operator after the layer has no gradient.
  const declared = findFixedBatch(graph);
  buildExplainingGraph(graph, subject, declared ?? 1);
  const sessions = new BatchSessions(engine, (batch) => buildExplainingGraph(graph, subject, batch));
  const explainBatch = async (images: Tensor<'float32'>, wanted: readonly number[]): Promise<Explanation[]> => {
    const [batch = 0, , height = 0, width = 0] = images.dims;
    const session = await sessions.loadFor(batch);
    const results = await session.run({ [input.name]: images, target: int64(wanted) });
    const scores = expectFloat32(results['grad-cam/scores'], 'Grad-CAM scores');
    const source = expectFloat32(results['grad-cam/source'], 'Scores');
    const activation = expectFloat32(results['grad-cam/activation'], 'Grad-CAM activations');
    const gradient = expectFloat32(results['grad-cam/gradient'], 'Grad-CAM gradients');
    const maps = finishMaps(computeGradCamMaps(activation, gradient), height, width);
    const chosen = results['grad-cam/target'];
    const size = height * width;
    return wanted.map((_, i) => {
      const own = scores.data.slice(i * classes, (i + 1) * classes);
      return {
        predicted: own.indexOf(own.reduce((best, value) => Math.max(best, value), Number.NEGATIVE_INFINITY)),
        target: Number(chosen?.data[i]),
        scores: own,
        source: source.data.slice(i * columns, (i + 1) * columns),
        map: float32(maps.data.slice(i * size, (i + 1) * size), [height, width]),
      };
    });
  };
  const unclear = options.layer === undefined ? describeUnclearLayers(graph) : undefined;
  return {
    layer: layer.path,
    classes,
    notes: unclear === undefined ? [] : [unclear],
    scores: described,
    explainedKind: chooseExplainedScores(described, options.score).kind,
    async explain(images, targets = []) {
      const [count = 0] = images.dims;
      const wanted = Array.from({ length: count }, (_, i) => targets[i] ?? -1);
      for (const target of wanted) {
        if (target >= classes || target < -1 || !Number.isInteger(target)) {
          throw new UsageError(`Class ${target} is out of range: the model has classes 0 to ${classes - 1}.`);
        }
      }
      const explained: Explanation[] = [];
      for (const piece of splitIntoPieces(images, declared)) {
        const own = Array.from({ length: piece.images.dims[0] ?? 0 }, (_, i) => wanted[piece.start + i] ?? -1);
        explained.push(...(await explainBatch(piece.images, own)).slice(0, piece.count));
      }
      return explained;
    },
    dispose: () => sessions.dispose(),
  };
}
