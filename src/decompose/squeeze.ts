/*
 * The smallest loss for a budget: fold what is free, learn what each layer is worth, spend the budget, fit what is left.
 *   1. exact savings                                            fold-exact.ts
 *   2. second moments of gradients and inputs                   second-moments.ts
 *   3. a curve for each layer, measured at a few points         curves.ts
 *   4. one Lagrangian for all layers                            allocation.ts
 *   5. layer after layer fitted to the original's outputs       refit.ts
 */
import type { Engine } from '../engine/engine.js';
import { engineProducts } from '../engine/matrix-products.js';
import { ShiboriError } from '../errors.js';
import type { Graph, Value } from '../graph/model.js';
import { fitsPattern } from '../graph/module-path.js';
import { outputKind } from '../graph/output-kind.js';
import { parametersOf } from '../graph/parameters.js';
import type { Matrix } from '../linalg/matrix.js';
import type { MatrixProducts } from '../linalg/products.js';
import type { FoldNote } from '../passes/fold.js';
import { bindInputs, type Replacement, rewrite } from '../passes/rewrite.js';
import { expectFloat32, type Tensor } from '../tensor/tensor.js';
import { ActivationStream } from './activation-stream.js';
import { allocate, type Choices } from './allocation.js';
import {
  correctedOptions,
  type Goal,
  type LayerOption,
  type MeasuredPoint,
  pointsToMeasure,
  predictedOptions,
} from './curves.js';
import { summedDivergence } from './divergence.js';
import {
  type FittedLayer,
  fitLayer,
  type LayerMetric,
  layerMetric,
  layerStage,
  mapOf,
  replacementOf,
} from './fit-layer.js';
import { foldExact } from './fold-exact.js';
import { type RefitOptions, refitLayer } from './refit.js';
import type { SchemeName } from './schemes.js';
import { type AppendGradients, centred, gradientMoments, regressionSums } from './second-moments.js';
import { denseParameters, type Refusal, type SqueezeLayer, squeezeLayers } from './squeeze-layer.js';

/** What a squeezed model may cost: parameters, or multiply-adds of one image. */
export interface Budget {
  readonly goal: Goal;
  readonly amount: number;
}

/** Calibration images: batches `[n, C, H, W]` as the model takes them. */
export interface Calibration {
  readonly images: readonly Tensor[];
}

/** How far a squeeze has come. */
export interface SqueezeProgress {
  readonly stage: 'fold' | 'gradients' | 'curves' | 'refit';
  readonly done: number;
  readonly total: number;
  readonly layer?: string;
}

/** Everything but the goal; every number has a default that suits ImageNet-like classifiers. */
export interface SqueezeOptions {
  /** Builds gradients: `appendGradients` of `autodiff/`. */
  readonly gradients: AppendGradients;
  /** Layers to squeeze, patterns as in `fitsPattern`. Default: all. */
  readonly layers?: readonly string[];
  /** Default: svd, tucker2 and tt-conv. */
  readonly schemes?: readonly SchemeName[];
  /** Samples (images times positions) for the moments behind a layer's curve. Default: 16384. */
  readonly curveSamples?: number;
  /** Images on which points of the curves are measured. Default: 300. */
  readonly measuredImages?: number;
  /** Shares of a layer's dense cost at which its curve is measured. Default: 0.03, 0.1 and 0.3. */
  readonly measuredShares?: readonly number[];
  /** `false`: layers are fitted at the original's inputs, each as if it were squeezed alone. */
  readonly refit?: RefitOptions | false;
  /** Seed of the labels drawn for the loss. Default: 0. */
  readonly seed?: number;
  onProgress?(progress: SqueezeProgress): void;
  /** Stops between layers. */
  readonly signal?: AbortSignal;
}

/** What became of one layer. */
export interface SqueezedLayer {
  readonly path: string;
  /** `undefined`: left dense. */
  readonly scheme: SchemeName | undefined;
  readonly ranks: readonly number[];
  readonly parametersBefore: number;
  readonly parameters: number;
  readonly multiplyAddsBefore: number;
  readonly multiplyAdds: number;
  /** KL in nats: by the moments alone, and put right by the points measured. */
  readonly predicted: number;
  readonly expected: number;
  readonly measured: readonly MeasuredPoint[];
  /** Why it was left dense. */
  readonly reason?: string;
}

/** A squeezed graph, and why it is as it is. */
export interface Squeezed {
  readonly graph: Graph;
  readonly layers: readonly SqueezedLayer[];
  readonly refused: readonly Refusal[];
  readonly folds: readonly FoldNote[];
  /** Loss in nats that one more unit of the budget would have saved. */
  readonly price: number;
}

/** A layer with all that was learnt about it. */
interface Studied {
  readonly layer: SqueezeLayer;
  readonly metric: Pick<LayerMetric, 'output'>;
  readonly options: readonly LayerOption[];
  readonly measured: readonly MeasuredPoint[];
}

const DEFAULT_SCHEMES: readonly SchemeName[] = ['svd', 'tucker2', 'tt-conv'];

async function* own(stream: ActivationStream, layer: SqueezeLayer): AsyncGenerator<readonly [Tensor, Tensor]> {
  for await (const [x, y] of stream.run({ values: [layer.x, layer.output] })) if (x && y) yield [x, y];
}

/** The bias that keeps the mean of the output where it was. */
function shiftedBias(layer: SqueezeLayer, map: Matrix, mean: Float64Array): Float64Array | undefined {
  const bias = layer.bias?.slice() ?? new Float64Array(layer.outputs);
  for (let i = 0, at = 0; i < map.rows; i++) {
    for (let o = 0; o < map.cols; o++, at++) {
      const lost = (layer.weight.data[at] as number) - (map.data[at] as number);
      bias[o] = (bias[o] as number) + lost * (mean[i] as number);
    }
  }
  return bias;
}

class Squeeze {
  constructor(
    readonly engine: Engine,
    readonly graph: Graph,
    readonly chunks: readonly Tensor[],
    readonly options: SqueezeOptions,
    readonly goal: Goal,
    readonly products: MatrixProducts,
  ) {}

  /** Mean KL from the original's predictions when one layer is replaced. */
  async divergence(
    stream: ActivationStream,
    scores: readonly Tensor[],
    study: readonly [SqueezeLayer, FittedLayer, Float64Array | undefined],
  ) {
    const [layer, fitted, bias] = study;
    const [output] = this.graph.outputs;
    if (!output) return Number.NaN;
    const kind = outputKind(this.graph);
    let sum = 0;
    let images = 0;
    const replace = new Map([replacementOf(layer, fitted, bias)]);
    for await (const [found] of stream.run({ values: [output], images: this.measuredImages, replace })) {
      const before = expectFloat32(scores[images === 0 ? 0 : this.#chunkAt(images)], 'scores');
      const after = expectFloat32(found, 'scores');
      sum += summedDivergence(before, after, kind);
      images += after.dims[0] ?? 0;
    }
    return sum / images;
  }

  #chunkAt(images: number): number {
    let seen = 0;
    return this.chunks.findIndex(({ dims }) => {
      seen += dims[0] ?? 0;
      return seen > images;
    });
  }

  get measuredImages(): number {
    return this.options.measuredImages ?? 300;
  }

  async study(
    stream: ActivationStream,
    layer: SqueezeLayer,
    gradients: Matrix,
    scores: readonly Tensor[],
  ): Promise<Studied> {
    const { engine, goal, options, products } = this;
    const { curveSamples = 16_384, schemes = DEFAULT_SCHEMES, measuredShares = [0.03, 0.1, 0.3] } = options;
    await stream.moveTo(layer.node);
    const sums = await regressionSums(engine, layer, own(stream, layer), { kind: 'outputs' }, curveSamples);
    const { gram, meanX } = centred(sums);
    const metric = await layerMetric(layer.path, gram, gradients, {}, products);
    const stage = await layerStage(layer.weight, metric, products);
    const predicted = await predictedOptions(layer, stage, goal, schemes, products);
    const measured: MeasuredPoint[] = [];
    for (const option of pointsToMeasure(predicted, measuredShares)) {
      if (!option.scheme) continue;
      const fitted = await fitLayer(layer, option.scheme, option.ranks, stage, metric, {}, products);
      const bias = shiftedBias(layer, await mapOf(layer, fitted, products), meanX);
      measured.push({
        predicted: option.predicted,
        measured: await this.divergence(stream, scores, [layer, fitted, bias]),
      });
    }
    return { layer, metric: { output: metric.output }, options: correctedOptions(predicted, measured), measured };
  }

  async studies(layers: readonly SqueezeLayer[]): Promise<Studied[]> {
    const { engine, graph, chunks, options } = this;
    options.onProgress?.({ stage: 'gradients', done: 0, total: 1 });
    const limited = chunks.slice(0, this.#chunkAt(this.measuredImages - 1) + 1 || chunks.length);
    const seed = options.seed === undefined ? {} : { seed: options.seed };
    const gradients = await gradientMoments(engine, graph, layers, limited, options.gradients, seed);
    const stream = new ActivationStream(engine, graph, chunks);
    const [output] = graph.outputs;
    const scores: Tensor[] = [];
    if (output) {
      for await (const [found] of stream.run({ values: [output], images: this.measuredImages }))
        if (found) scores.push(found);
    }
    const found: Studied[] = [];
    for (const layer of layers) {
      options.signal?.throwIfAborted();
      options.onProgress?.({ stage: 'curves', done: found.length, total: layers.length, layer: layer.path });
      const moments = gradients.get(layer.path);
      if (moments) found.push(await this.study(stream, layer, moments, scores));
    }
    return found;
  }

  /** The graph with the choices made, fitted layer after layer. */
  async fit(studies: readonly Studied[], chosen: ReadonlyMap<string, LayerOption>): Promise<Graph> {
    const { engine, graph, chunks, options, products } = this;
    const { refit = {} } = options;
    const original = new ActivationStream(engine, graph, chunks);
    const squeezed = new ActivationStream(engine, graph, chunks);
    const replacements = new Map<Value, Replacement>();
    for (const [i, { layer, metric }] of studies.entries()) {
      options.signal?.throwIfAborted();
      options.onProgress?.({ stage: 'refit', done: i, total: studies.length, layer: layer.path });
      const option = chosen.get(layer.path);
      if (!option?.scheme) continue;
      const choice = { scheme: option.scheme, ranks: option.ranks };
      await original.moveTo(layer.node);
      if (refit) await squeezed.moveTo(layer.node);
      const inputs = refit ? squeezed : original;
      const how = refit || { rectifiedRounds: 0 };
      const { fitted, bias } = await refitLayer(engine, inputs, original, layer, choice, metric.output, how, products);
      const entry = replacementOf(layer, fitted, bias);
      replacements.set(...entry);
      squeezed.replace(entry);
    }
    return rewrite(graph, { replace: replacements });
  }
}

function reportOf({ layer, measured, options }: Studied, option: LayerOption): SqueezedLayer {
  const dense = options.find(({ scheme }) => scheme === undefined);
  return {
    path: layer.path,
    scheme: option.scheme?.name,
    ranks: option.ranks,
    parametersBefore: denseParameters(layer),
    parameters: option.parameters,
    multiplyAddsBefore: dense?.multiplyAdds ?? option.multiplyAdds,
    multiplyAdds: option.multiplyAdds,
    predicted: option.predicted,
    expected: option.loss,
    measured,
    ...(option.scheme
      ? {}
      : {
          reason:
            options.length === 1
              ? 'no scheme is smaller than the layer itself'
              : 'its parameters save more loss than they would elsewhere',
        }),
  };
}

/** The graph's cost that no squeezing changes. */
function fixedCost(graph: Graph, layers: readonly SqueezeLayer[], goal: Goal): number {
  if (goal === 'multiplyAdds') return 0;
  const all = parametersOf(graph).reduce(
    (sum, { tensor, kind }) => sum + (kind === 'parameter' ? tensor.data.length : 0),
    0,
  );
  return all - layers.reduce((sum, layer) => sum + denseParameters(layer), 0);
}

/**
 * Squeezes a classifier to a budget without a gradient step. The same images, options and seed give the same graph.
 *
 * @param calibration some hundred to a few thousand training images.
 * @returns the graph, what became of each layer and why.
 * @throws ShiboriError when there is no image or no layer, when statistics are not finite, or when the budget cannot be
 *   met (says what can).
 */
export async function squeezeToBudget(
  engine: Engine,
  model: Graph,
  calibration: Calibration,
  budget: Budget,
  options: SqueezeOptions,
): Promise<Squeezed> {
  if (calibration.images.length === 0) throw new ShiboriError('Squeezing needs calibration images, found none.');
  options.onProgress?.({ stage: 'fold', done: 0, total: 1 });
  const [input] = model.inputs;
  const open = input?.type ? bindInputs(model, { [input.name]: ['N', ...input.type.dims.slice(1)] }) : model;
  const { graph, notes } = await foldExact(engine, open);
  const patterns = options.layers ?? ['*'];
  const all = squeezeLayers(graph);
  const layers = all.layers.filter(({ path }) => patterns.some((pattern) => fitsPattern(path, pattern)));
  if (layers.length === 0) throw new ShiboriError(`No layer can be squeezed: ${patterns.join(', ')} fits none.`);
  const products = engineProducts(engine);
  try {
    const squeeze = new Squeeze(engine, graph, calibration.images, options, budget.goal, products);
    const studies = await squeeze.studies(layers);
    const choices = studies.map(
      ({ layer, options: each }): Choices<LayerOption> => ({ path: layer.path, options: each }),
    );
    const { chosen, price } = allocate(choices, budget.amount - fixedCost(graph, layers, budget.goal));
    const squeezed = await squeeze.fit(studies, chosen);
    const report = studies.flatMap((study) => {
      const option = chosen.get(study.layer.path);
      return option ? [reportOf(study, option)] : [];
    });
    return { graph: squeezed, layers: report, refused: all.refused, folds: notes, price };
  } finally {
    await products.dispose();
  }
}
