import { balance } from '../decompose/balance.js';
import { type Core, reconstruct, type TensorTrain } from '../decompose/tensor-train.js';
import type { Value } from '../graph/model.js';
import { type Matrix, matrix } from '../linalg/matrix.js';
import type { MatrixProducts } from '../linalg/products.js';
import { type SymmetricRoot, symmetricRoot } from '../linalg/symmetric-root.js';
import type { Replacement } from '../passes/rewrite.js';
import { float32, type Tensor } from '../tensor/tensor.js';
import { type FitOptions, fitChain } from './chain-fit.js';
import { emitFactors, factorName, factorOf, fitRanks, type Scheme, schemeModes } from './schemes.js';
import type { SqueezeLayer } from './squeeze-layer.js';
import { damped, firstStage, type Stage } from './whitened.js';

/** The metric of one layer: see `whitened.ts`. */
export interface LayerMetric {
  /** Second moments of the input's patches about their mean, damped: `[n, n]`. */
  readonly gram: Matrix;
  /** Roots of the second moments of the loss gradient at the output, damped: `[O, O]`. */
  readonly output: SymmetricRoot;
}

/** How statistics become a metric. */
export interface Damping {
  /** Added to the diagonal of the input's moments, as a share of its mean. Default: 1e-4. */
  readonly input?: number;
  /** The same for the gradient's moments, whose small directions are told by few images. Default: 0.1. */
  readonly output?: number;
}

/**
 * The metric of a layer.
 *
 * @throws ShiboriError naming the layer when its statistics are not finite.
 */
export async function layerMetric(
  path: string,
  gram: Matrix,
  gradients: Matrix,
  damping: Damping,
  products: MatrixProducts,
): Promise<LayerMetric> {
  const { input = 1e-4, output = 0.1 } = damping;
  return {
    gram: damped(gram, input, `Layer "${path}": the statistics of its input`),
    output: await symmetricRoot(damped(gradients, output, `Layer "${path}": the statistics of its gradient`), products),
  };
}

/** A layer taken apart. */
export interface FittedLayer {
  readonly path: string;
  readonly scheme: Scheme;
  readonly ranks: readonly number[];
  /** Cores over the scheme's groups, as computed, in float64. */
  readonly train: TensorTrain;
  /** What the layer's nodes read, float32. */
  readonly factors: readonly Tensor<'float32'>[];
  /** ‖G^½ (T̂ − T) M^½‖²: twice the predicted rise of the loss. */
  readonly loss: number;
  /** Where a later fit may start. */
  readonly inner: readonly Matrix[];
}

/** The map of a layer in its metric, before any core. */
export async function layerStage(weight: Matrix, metric: LayerMetric, products: MatrixProducts): Promise<Stage> {
  return firstStage(metric.gram, await products.multiply(weight, metric.output.root, {}), products);
}

/**
 * Takes a layer apart in a scheme.
 *
 * @param stage the map to come near to: `layerStage`, or a regression's (outputs whitened).
 * @param ranks one a bond; more than the unfoldings allow are cut.
 */
export async function fitLayer(
  layer: SqueezeLayer,
  scheme: Scheme,
  ranks: readonly number[],
  stage: Stage,
  metric: LayerMetric,
  options: FitOptions,
  products: MatrixProducts,
): Promise<FittedLayer> {
  const fitted = fitRanks(scheme, layer, ranks);
  const chain = await fitChain(stage, schemeModes(scheme, layer), fitted, options, products);
  const { outputs } = layer;
  const last = chain.cores.at(-1);
  const cores: Core[] = chain.cores.slice(0, -1);
  if (last) {
    const rows = matrix(last.data.length / outputs, outputs, last.data);
    cores.push({ dims: last.dims, data: (await products.multiply(rows, metric.output.inverse, {})).data });
  }
  const train = balance({ modes: chain.modes, bonds: chain.bonds, cores });
  return {
    path: layer.path,
    scheme,
    ranks: fitted,
    train,
    factors: train.cores.map((core, k) => factorOf(scheme, layer, core, k)),
    loss: chain.loss,
    inner: chain.inner,
  };
}

/** The dense map `[n, O]` that a fitted layer stands for. */
export async function mapOf(layer: SqueezeLayer, fitted: FittedLayer, products: MatrixProducts): Promise<Matrix> {
  return matrix(layer.weight.rows, layer.weight.cols, await reconstruct(fitted.train, products));
}

/** What computes a layer from now on: its factors, as parameters `PATH.factor0`, …, and `PATH.bias`. */
export function replacementOf(
  layer: SqueezeLayer,
  fitted: FittedLayer,
  bias: Float64Array | undefined,
): readonly [Value, Replacement] {
  return [
    layer.output,
    {
      reads: [layer.x],
      emit([x], b) {
        const values = fitted.factors.map((factor, k) => b.initializer(`${layer.path}.${factorName(k)}`, factor));
        const sum = bias && b.initializer(`${layer.path}.bias`, float32(bias));
        return emitFactors(b, fitted.scheme, layer, x ?? layer.x, values, sum);
      },
    },
  ];
}
