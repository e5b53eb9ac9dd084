/*
 * A linear layer's weight as the tensor train of `decompose/`: modes of its inputs and outputs, in either layout. Bonds
 * are cut at the same share of the whitened weight's mass each; what the metric of `whitened.ts` says of a choice is
 * computed, since the Kronecker products over the modes (`whitened-train.ts`) are coarser than those of the other schemes.
 */
import { balance } from '../../decompose/balance.js';
import { planFactored } from '../../decompose/contraction.js';
import { suggestModes } from '../../decompose/factorization.js';
import {
  BIAS_NAME,
  coreName,
  type Layout,
  storedShape,
  type TtRequest,
  type TtShape,
  trainModes,
  weightCount,
} from '../../decompose/modes.js';
import { fitBonds } from '../../decompose/tensor-train.js';
import { emitTtLinear } from '../../decompose/tt-layer.js';
import { denseWeight } from '../../decompose/tt-weight.js';
import { matrix, transpose } from '../../linalg/matrix.js';
import type { MatrixProducts } from '../../linalg/products.js';
import type { SymmetricRoot } from '../../linalg/symmetric-root.js';
import { sizeOf } from '../../tensor/dims.js';
import { float32 } from '../../tensor/tensor.js';
import type { SqueezeLayer } from '../squeeze-layer.js';
import type { FittedLayer, LayerShape, Prediction, Scheme, SchemeSubject } from './scheme.js';
import { innerProduct, type Stage } from './whitened.js';
import { type WhitenedTrain, whitenedTrain } from './whitened-train.js';

/** Modes on either side. */
const MODES = 2;
/** Shares of the whole mass that a bond may discard, one after the other: a curve of this many points. */
const SHARES = [0.5, 0.3, 0.2, 0.12, 0.07, 0.04, 0.02, 0.01, 0.005, 0.002, 1e-3, 3e-4];

/** What the train needs to know of a layer, whitened. */
async function whitened(
  layer: LayerShape & { path: string },
  layout: Layout,
  stage: Stage,
  { root, inverse }: SymmetricRoot,
  products: MatrixProducts,
) {
  const gradients = await products.multiply(root, root, {});
  const weight = transpose(await products.multiply(stage.target, inverse, {}));
  const inputs = await stage.moments.gram();
  return whitenedTrain(layer.path, weight, requestOf(layer, layout), { inputs, gradients }, products);
}

function requestOf(
  { inputs, outputs }: Pick<LayerShape, 'inputs' | 'outputs'>,
  layout: Layout,
): Omit<TtRequest, 'bonds'> {
  return { layout, inModes: suggestModes(inputs, MODES), outModes: suggestModes(outputs, MODES) };
}

/** The scheme of a layout; cores are parameters `PATH.tt_W0`, …, the bias is `PATH.B`. */
export function ttScheme(layout: Layout): Scheme {
  const shapeOf = (layer: LayerShape, ranks?: readonly number[]): TtShape => {
    const request = requestOf(layer, layout);
    return { ...request, bonds: fitBonds(trainModes(request), ranks).bonds };
  };

  async function fitted(
    layer: SqueezeLayer,
    ranks: readonly number[],
    stage: Stage,
    { root }: SymmetricRoot,
    at: WhitenedTrain,
    products: MatrixProducts,
  ): Promise<FittedLayer> {
    const shape = shapeOf(layer, ranks);
    const train = balance((await at.truncated(shape.bonds)).train);
    const cores = train.cores.map(({ data }) => data);
    const map = async () => transpose(matrix(layer.outputs, layer.inputs, await denseWeight(shape, cores, products)));
    const best = stage.target;
    const near = await products.multiply(await map(), root, {});
    const lost = matrix(
      near.rows,
      near.cols,
      near.data.map((value, i) => value - (best.data[i] as number)),
    );
    return {
      path: layer.path,
      scheme,
      ranks: shape.bonds,
      factors: cores.map((core, k) => ({ name: coreName(k), tensor: float32(core, storedShape(shape, k)) })),
      loss: innerProduct(lost, await stage.moments.times(lost)),
      inner: [],
      map,
    };
  }

  const scheme: Scheme = {
    name: layout,
    bonds: [],
    refuses({ kind, inputs, outputs }) {
      if (kind !== 'linear') return 'it is a convolution';
      const { inModes, outModes } = requestOf({ inputs, outputs }, layout);
      return [...inModes, ...outModes].includes(1) ? 'its inputs or outputs are a prime number' : undefined;
    },
    fitRanks: (layer, ranks) => [...shapeOf(layer, ranks).bonds],
    parameters: (layer, ranks) => weightCount(shapeOf(layer, ranks)),
    multiplyAdds: (layer, ranks) => planFactored(shapeOf(layer, ranks), 1).cost * sizeOf(layer.outputSize),
    async predict({ layer, stage, output, products }: SchemeSubject): Promise<Prediction[]> {
      const at = await whitened(layer, layout, stage, output, products);
      const predictions = new Map<string, Prediction>();
      for (const share of SHARES) {
        const ranks = shapeOf(layer, await at.ranksFor(share)).bonds;
        if (predictions.has(ranks.join())) continue;
        const { loss } = await fitted(layer, ranks, stage, output, at, products);
        predictions.set(ranks.join(), { ranks, mass: loss });
      }
      return [...predictions.values()];
    },
    async fit(layer, ranks, stage, output, _, products) {
      return fitted(layer, ranks, stage, output, await whitened(layer, layout, stage, output, products), products);
    },
    bias: (layer, values) => ({ name: BIAS_NAME, tensor: float32(values, shapeOf(layer).outModes) }),
    emit: (b, layer, x, ranks, factors, bias) =>
      emitTtLinear(b, x, factors, bias, {
        path: layer.path,
        ...shapeOf(layer, ranks),
        execution: 'factored',
        outputName: layer.output.name,
      }),
  };
  return scheme;
}
