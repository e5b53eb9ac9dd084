import { emitOnRows } from '../decompose/rows.js';
import { Value } from '../graph/model.js';
import type { Matrix } from '../linalg/matrix.js';
import type { MatrixProducts } from '../linalg/products.js';
import { type SymmetricRoot, symmetricRoot } from '../linalg/symmetric-root.js';
import type { GraphBuilder } from '../ops/builder.js';
import type { Replacement } from '../passes/rewrite.js';
import type { CompressibleLayer } from './compressible-layers.js';
import type { FittedLayer, LayerParameter } from './schemes/decomposition-scheme.js';
import { withDamping } from './statistics/second-moment-matrix.js';

/** Share of its own that is added to each variance of a gradient, whose small directions are reported by few images. */
const GRADIENT_DAMPING = 0.1;

/**
 * Roots of the second moments of the loss gradient at a layer's output `[O, O]`: what whitens its outputs.
 *
 * @throws ShiboriError naming the layer when they are not finite.
 */
export function computeOutputMetric(
  path: string,
  gradients: Matrix,
  products: MatrixProducts,
  damping = GRADIENT_DAMPING,
): Promise<SymmetricRoot> {
  return symmetricRoot(withDamping(gradients, damping, `Layer "${path}": the statistics of its gradient`), products);
}

/** Mᵀ x for a vector. */
function applyTransposed(map: Matrix, x: Float64Array): Float64Array {
  const result = new Float64Array(map.cols);
  for (let i = 0, at = 0; i < map.rows; i++) {
    for (let o = 0; o < map.cols; o++, at++) {
      result[o] = (result[o] as number) + (map.data[at] as number) * (x[i] as number);
    }
  }
  return result;
}

/** The bias that takes the means, so that no rank is spent on them: E[t] − T̂ᵀ E[x]. */
export function computeBias(map: Matrix, meanX: Float64Array, meanTarget: Float64Array): Float64Array {
  const known = applyTransposed(map, meanX);
  return meanTarget.map((value, o) => value - (known[o] as number));
}

/** What a layer answers on average to inputs of this mean. */
export function computeMeanOutput({ weight, bias }: CompressibleLayer, meanX: Float64Array): Float64Array {
  return applyTransposed(weight, meanX).map((value, o) => value + (bias?.[o] ?? 0));
}

/** Emits a layer; a linear one of more axes than two on its rows, since schemes know matrices only. */
function emitLayerOnRows(
  b: GraphBuilder,
  layer: CompressibleLayer,
  x: Value,
  emit: (layer: CompressibleLayer, x: Value) => Value,
): Value {
  if (layer.kind === 'conv') return emit(layer, x);
  return emitOnRows(b, x, layer.inputs, layer.output.name, (rows, name = layer.output.name) =>
    emit({ ...layer, output: new Value(name, undefined) }, rows),
  );
}

/** What computes a layer from now on: its factors as parameters below its path, and its bias. */
export function buildReplacement(
  layer: CompressibleLayer,
  { scheme, ranks, factors }: Pick<FittedLayer, 'scheme' | 'ranks' | 'factors'>,
  bias: Float64Array | undefined,
): readonly [Value, Replacement] {
  return [
    layer.output,
    {
      reads: [layer.x],
      emit([x], b) {
        const named = ({ name, tensor }: LayerParameter) => b.initializer(`${layer.path}.${name}`, tensor);
        const values = factors.map(named);
        const sum = bias && named(scheme.buildBias(layer, bias));
        return b.within(layer.path, () =>
          emitLayerOnRows(b, layer, x ?? layer.x, (of, flat) => scheme.emit(b, of, flat, ranks, values, sum)),
        );
      },
    },
  ];
}
