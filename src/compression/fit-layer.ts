import { emitOnRows } from '../decompose/rows.js';
import { Value } from '../graph/model.js';
import type { Matrix } from '../linalg/matrix.js';
import type { MatrixProducts } from '../linalg/products.js';
import { type SymmetricRoot, symmetricRoot } from '../linalg/symmetric-root.js';
import type { GraphBuilder } from '../ops/builder.js';
import type { Replacement } from '../passes/rewrite.js';
import type { FittedLayer, NamedTensor } from './schemes/scheme.js';
import type { SqueezeLayer } from './squeeze-layer.js';
import { damped } from './statistics/moments.js';

/** Share of its own that is added to each variance of a gradient, whose small directions are told by few images. */
const GRADIENT_DAMPING = 0.1;

/**
 * Roots of the moments of the loss gradient at a layer's output `[O, O]`: what whitens its outputs.
 *
 * @throws ShiboriError naming the layer when they are not finite.
 */
export function outputMetric(
  path: string,
  gradients: Matrix,
  products: MatrixProducts,
  damping = GRADIENT_DAMPING,
): Promise<SymmetricRoot> {
  return symmetricRoot(damped(gradients, damping, `Layer "${path}": the statistics of its gradient`), products);
}

/** Mᵀ x for a vector. */
function applied(map: Matrix, x: Float64Array): Float64Array {
  const result = new Float64Array(map.cols);
  for (let i = 0, at = 0; i < map.rows; i++) {
    for (let o = 0; o < map.cols; o++, at++) {
      result[o] = (result[o] as number) + (map.data[at] as number) * (x[i] as number);
    }
  }
  return result;
}

/** The bias that takes the means, so that no rank is spent on them: E[t] − T̂ᵀ E[x]. */
export function biasOf(map: Matrix, meanX: Float64Array, meanTarget: Float64Array): Float64Array {
  const known = applied(map, meanX);
  return meanTarget.map((value, o) => value - (known[o] as number));
}

/** What a layer answers on average to inputs of this mean. */
export function meanOutput({ weight, bias }: SqueezeLayer, meanX: Float64Array): Float64Array {
  return applied(weight, meanX).map((value, o) => value + (bias?.[o] ?? 0));
}

/** Emits a layer; a linear one of more axes than two on its rows, since schemes know matrices only. */
function emitLayer(
  b: GraphBuilder,
  layer: SqueezeLayer,
  x: Value,
  emit: (layer: SqueezeLayer, x: Value) => Value,
): Value {
  if (layer.kind === 'conv') return emit(layer, x);
  return emitOnRows(b, x, layer.inputs, layer.output.name, (rows, name = layer.output.name) =>
    emit({ ...layer, output: new Value(name, undefined) }, rows),
  );
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
        const y = emitLayer(b, layer, x ?? layer.x, (of, flat) => scheme.emit(b, of, flat, ranks, values, sum));
        b.scope = outer;
        return y;
      },
    },
  ];
}
