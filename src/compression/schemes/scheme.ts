/** What a way of taking a layer's weight apart has to tell and to do; `schemes.ts` has them all. */
import type { Value } from '../../graph/model.js';
import type { Matrix } from '../../linalg/matrix.js';
import type { MatrixProducts } from '../../linalg/products.js';
import type { SymmetricRoot } from '../../linalg/symmetric-root.js';
import type { GraphBuilder } from '../../ops/builder.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { SqueezeLayer } from '../squeeze-layer.js';
import type { FitOptions } from './chain-fit.js';
import type { Tails } from './tails.js';
import type { Stage } from './whitened.js';

/** The names of all schemes. */
export const schemeNames = ['svd', 'svd-input', 'spatial', 'tucker2', 'tt-conv', 'tt', 'tt-matrix'] as const;

export type SchemeName = (typeof schemeNames)[number];

/** What of a layer its cost depends on. */
export type LayerShape = Pick<SqueezeLayer, 'kind' | 'inputs' | 'outputs' | 'kernel' | 'inputSize' | 'outputSize'>;

/** A parameter of a layer that was taken apart: its name below the layer's path, and its numbers. */
export interface NamedTensor {
  readonly name: string;
  readonly tensor: Tensor<'float32'>;
}

/** A layer taken apart. */
export interface FittedLayer {
  readonly path: string;
  readonly scheme: Scheme;
  readonly ranks: readonly number[];
  /** What the layer's nodes read, in order, without the bias. */
  readonly factors: readonly NamedTensor[];
  /** ‖G^½ (T̂ − T) M^½‖²: twice the predicted rise of the loss. */
  readonly loss: number;
  /** Where a later fit may start. */
  readonly inner: readonly Matrix[];
  /** The dense map `[n, O]` that it stands for. */
  map(): Promise<Matrix>;
}

/** Ranks of a layer, and what they are predicted to discard of ‖G^½ T M^½‖². */
export interface Prediction {
  readonly ranks: readonly number[];
  readonly mass: number;
}

/** A layer in front of a choice of ranks. */
export interface SchemeSubject {
  readonly layer: SqueezeLayer;
  readonly stage: Stage;
  /** Roots of the moments of the loss gradient at its output `[O, O]`: `outputMetric`. */
  readonly output: SymmetricRoot;
  readonly tails: Tails;
  readonly products: MatrixProducts;
}

/** One way of taking a weight apart. */
export interface Scheme {
  readonly name: SchemeName;
  /** The bonds of `tails.ts` that its ranks are of, in order; none where its bonds are others. */
  readonly bonds: readonly (keyof Tails)[];
  /** Why the scheme makes no sense for a layer; `undefined` when it does. */
  refuses(layer: LayerShape): string | undefined;
  /** Ranks cut to what the weight's unfoldings allow. Default: full rank. */
  fitRanks(layer: LayerShape, ranks?: readonly number[]): number[];
  /** Number of weights of all factors, the bias not counted. */
  parameters(layer: LayerShape, ranks: readonly number[]): number;
  /** Multiply-adds of one image. */
  multiplyAdds(layer: LayerShape, ranks: readonly number[]): number;
  /** The ranks worth looking at. */
  predict(subject: SchemeSubject): Promise<readonly Prediction[]>;
  /**
   * Takes a layer apart.
   *
   * @param stage the map to come near to, its outputs whitened by `output`.
   * @param ranks one a bond; more than the unfoldings allow are cut.
   */
  fit(
    layer: SqueezeLayer,
    ranks: readonly number[],
    stage: Stage,
    output: SymmetricRoot,
    options: FitOptions,
    products: MatrixProducts,
  ): Promise<FittedLayer>;
  /** The bias `[O]` as its parameter. */
  bias(layer: SqueezeLayer, values: Float64Array): NamedTensor;
  /**
   * Adds the layer's nodes under its path; the last gives its output by its name.
   *
   * @param x `[N, C, H, W]`, or `[N, C]` for a linear layer.
   * @param ranks of the factors.
   * @param factors values of `FittedLayer.factors`.
   */
  emit(
    b: GraphBuilder,
    layer: SqueezeLayer,
    x: Value,
    ranks: readonly number[],
    factors: readonly Value[],
    bias: Value | undefined,
  ): Value;
}
