import type { Value } from '../graph/model.js';
import type { Matrix } from '../linalg/matrix.js';
import type { MatrixProducts } from '../linalg/products.js';
import { symmetricRoot } from '../linalg/symmetric-root.js';
import type { Replacement } from '../passes/rewrite.js';
import type { Means } from './regression-sums.js';
import type { FittedLayer, LayerMetric, NamedTensor } from './scheme.js';
import type { SqueezeLayer } from './squeeze-layer.js';
import { damped, firstStage, type Stage } from './whitened.js';

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

/** The map of a layer in its metric, before any core. */
export async function layerStage(weight: Matrix, metric: LayerMetric, products: MatrixProducts): Promise<Stage> {
  return firstStage(metric.gram, await products.multiply(weight, metric.output.root, {}), products);
}

/** The bias that takes the means, so that no rank is spent on them: E[t] − T̂ᵀ E[x]. */
export function biasOf(map: Matrix, { meanX, meanTarget }: Means): Float64Array {
  const bias = meanTarget.slice();
  for (let i = 0, at = 0; i < map.rows; i++) {
    for (let o = 0; o < map.cols; o++, at++) {
      bias[o] = (bias[o] as number) - (map.data[at] as number) * (meanX[i] as number);
    }
  }
  return bias;
}

/** What computes a layer from now on: its factors as parameters below its path, and its bias. */
export function replacementOf(
  layer: SqueezeLayer,
  { scheme, ranks, factors }: Pick<FittedLayer, 'scheme' | 'ranks' | 'factors'>,
  bias: Float64Array | undefined,
): readonly [Value, Replacement] {
  return [
    layer.output,
    {
      reads: [layer.x],
      emit([x], b) {
        const named = ({ name, tensor }: NamedTensor) => b.initializer(`${layer.path}.${name}`, tensor);
        const values = factors.map(named);
        const sum = bias && named(scheme.bias(layer, bias));
        const outer = b.scope;
        b.scope = layer.path;
        const y = scheme.emit(b, layer, x ?? layer.x, ranks, values, sum);
        b.scope = outer;
        return y;
      },
    },
  ];
}
