/** What a way of taking a layer's weight apart has to tell and to do; `schemes.ts` has them all. */
import type { Value } from '../../graph/model.js';
import type { Matrix } from '../../linalg/matrix.js';
import type { MatrixProducts } from '../../linalg/products.js';
import type { SymmetricRoot } from '../../linalg/symmetric-root.js';
import type { GraphBuilder } from '../../ops/builder.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { CompressibleLayer } from '../compressible-layers.js';
import type { ChainFitOptions } from './chain-fit.js';
import type { MapRegression } from './layer-metric.js';
import type { TruncationErrors } from './truncation-errors.js';

/** The names of all schemes. */
export const schemeNames = ['svd', 'svd-input', 'spatial', 'tucker2', 'tt-conv', 'tt', 'tt-matrix'] as const;

export type SchemeName = (typeof schemeNames)[number];

/** What of a layer its cost depends on. */
export type LayerShape = Pick<CompressibleLayer, 'kind' | 'inputs' | 'outputs' | 'kernel' | 'inputSize' | 'outputSize'>;

/** A parameter of a layer that was decomposed: its name below the layer's path, and its numbers. */
export interface LayerParameter {
  readonly name: string;
  readonly tensor: Tensor<'float32'>;
}

/** A layer decomposed. */
export interface FittedLayer {
  readonly path: string;
  readonly scheme: DecompositionScheme;
  readonly ranks: readonly number[];
  /** What the layer's nodes read, in order, without the bias. */
  readonly factors: readonly LayerParameter[];
  /** ‖G^½ (T̂ − T) M^½‖²: twice the predicted rise of the loss. */
  readonly loss: number;
  /** Where a later fit may start. */
  readonly innerCores: readonly Matrix[];
  /** The dense map `[n, O]` that it stands for. */
  computeMap(): Promise<Matrix>;
}

/** Ranks of a layer, and what they are predicted to discard of ‖G^½ T M^½‖². */
export interface RankPrediction {
  readonly ranks: readonly number[];
  readonly discardedEnergy: number;
}

/** A layer in front of a choice of ranks. */
export interface SchemeInput {
  readonly layer: CompressibleLayer;
  readonly regression: MapRegression;
  /** Roots of the second moments of the loss gradient at its output `[O, O]`: `outputMetric`. */
  readonly output: SymmetricRoot;
  readonly truncationErrors: TruncationErrors;
  readonly products: MatrixProducts;
}

/** One way of taking a weight apart. */
export interface DecompositionScheme {
  readonly name: SchemeName;
  /** The ranks of `tails.ts` that its ranks are of, in order; none where its ranks are others. */
  readonly unfoldings: readonly (keyof TruncationErrors)[];
  /** Why the scheme makes no sense for a layer; `undefined` when it does. */
  findRefusal(layer: LayerShape): string | undefined;
  /** Ranks cut to what the weight's unfoldings allow. Default: full rank. */
  limitRanks(layer: LayerShape, ranks?: readonly number[]): number[];
  /** Number of weights of all factors, the bias not counted. */
  countParameters(layer: LayerShape, ranks: readonly number[]): number;
  /** MACs of one image. */
  countMacs(layer: LayerShape, ranks: readonly number[]): number;
  /** The ranks to look at. */
  predict(subject: SchemeInput): Promise<readonly RankPrediction[]>;
  /**
   * Takes a layer apart.
   *
   * @param stage the map to come near to, its outputs whitened by `output`.
   * @param ranks one for each unfolding; more than the unfoldings allow are cut.
   */
  fit(
    layer: CompressibleLayer,
    ranks: readonly number[],
    stage: MapRegression,
    output: SymmetricRoot,
    options: ChainFitOptions,
    products: MatrixProducts,
  ): Promise<FittedLayer>;
  /** The bias `[O]` as its parameter. */
  buildBias(layer: CompressibleLayer, values: Float64Array): LayerParameter;
  /**
   * Adds the layer's nodes under its path; the last gives its output by its name.
   *
   * @param x `[N, C, H, W]`, or `[N, C]` for a linear layer.
   * @param ranks of the factors.
   * @param factors values of `FittedLayer.factors`.
   */
  emit(
    b: GraphBuilder,
    layer: CompressibleLayer,
    x: Value,
    ranks: readonly number[],
    factors: readonly Value[],
    bias: Value | undefined,
  ): Value;
}
