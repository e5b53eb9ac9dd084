/*
 * A linear layer's weight as the tensor train of `decompose/`: modes of its inputs and outputs, in either layout. Ranks
 * are cut at the same share of the whitened weight's energy each; what the metric of `whitened.ts` says of a choice is
 * computed, since the Kronecker products over the modes (`whitened-train.ts`) are coarser than those of the other schemes.
 */
import { balance } from '../../decompose/balance.js';
import { planFactorised } from '../../decompose/contraction.js';
import { suggestModes } from '../../decompose/factorization.js';
import {
  BIAS_NAME,
  countCoreWeights,
  getCoreName,
  getStoredCoreDims,
  getTrainModes,
  type TtLayout,
  type TtRequest,
  type TtShape,
} from '../../decompose/modes.js';
import { clipRanks } from '../../decompose/tensor-train.js';
import { emitTtLinear } from '../../decompose/tt-layer.js';
import { reconstructWeight } from '../../decompose/tt-weight.js';
import { matrix, transpose } from '../../linalg/matrix.js';
import type { MatrixProducts } from '../../linalg/products.js';
import type { SymmetricRoot } from '../../linalg/symmetric-root.js';
import { countElements } from '../../tensor/dims.js';
import { float32 } from '../../tensor/tensor.js';
import type { CompressibleLayer } from '../compressible-layers.js';
import type {
  DecompositionScheme,
  FittedLayer,
  LayerShape,
  RankPrediction,
  SchemeInput,
} from './decomposition-scheme.js';
import { innerProduct, type MapRegression } from './layer-metric.js';
import { type WhitenedWeight, whitenWeight } from './whitened-weight.js';

/** Modes on either side. */
const MODES_PER_SIDE = 2;
/** Shares of the whole energy that a rank may discard, one after the other: a curve of this many points. */
const DISCARDED_SHARES = [0.5, 0.3, 0.2, 0.12, 0.07, 0.04, 0.02, 0.01, 0.005, 0.002, 1e-3, 3e-4];

/** What the train needs to know of a layer, whitened. */
async function whitenLayerWeight(
  layer: LayerShape & { path: string },
  layout: TtLayout,
  regression: MapRegression,
  { root, inverse }: SymmetricRoot,
  products: MatrixProducts,
) {
  const gradients = await products.multiply(root, root, {});
  const weight = transpose(await products.multiply(regression.bestMap, inverse, {}));
  const inputs = await regression.secondMoments.computeMatrix();
  return whitenWeight(layer.path, weight, buildTtRequest(layer, layout), { inputs, gradients }, products);
}

function buildTtRequest(
  { inputs, outputs }: Pick<LayerShape, 'inputs' | 'outputs'>,
  layout: TtLayout,
): Omit<TtRequest, 'bonds'> {
  return { layout, inModes: suggestModes(inputs, MODES_PER_SIDE), outModes: suggestModes(outputs, MODES_PER_SIDE) };
}

/** The scheme of a layout; cores are parameters `PATH.tt_W0`, …, the bias is `PATH.B`. */
export function createTtScheme(layout: TtLayout): DecompositionScheme {
  const buildShape = (layer: LayerShape, ranks?: readonly number[]): TtShape => {
    const request = buildTtRequest(layer, layout);
    return { ...request, bonds: clipRanks(getTrainModes(request), ranks).bonds };
  };

  async function fitTrain(
    layer: CompressibleLayer,
    ranks: readonly number[],
    regression: MapRegression,
    { root }: SymmetricRoot,
    whitenedWeight: WhitenedWeight,
    products: MatrixProducts,
  ): Promise<FittedLayer> {
    const shape = buildShape(layer, ranks);
    const train = balance((await whitenedWeight.truncate(shape.bonds)).train);
    const cores = train.cores.map(({ data }) => data);
    const map = async () =>
      transpose(matrix(layer.outputs, layer.inputs, await reconstructWeight(shape, cores, products)));
    const best = regression.bestMap;
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
      factors: cores.map((core, k) => ({ name: getCoreName(k), tensor: float32(core, getStoredCoreDims(shape, k)) })),
      loss: innerProduct(lost, await regression.secondMoments.multiply(lost)),
      innerCores: [],
      computeMap: map,
    };
  }

  const scheme: DecompositionScheme = {
    name: layout,
    unfoldings: [],
    findRefusal({ kind, inputs, outputs }) {
      if (kind !== 'linear') return 'it is a convolution';
      const { inModes, outModes } = buildTtRequest({ inputs, outputs }, layout);
      return [...inModes, ...outModes].includes(1) ? 'its inputs or outputs are a prime number' : undefined;
    },
    limitRanks: (layer, ranks) => [...buildShape(layer, ranks).bonds],
    countParameters: (layer, ranks) => countCoreWeights(buildShape(layer, ranks)),
    countMacs: (layer, ranks) => planFactorised(buildShape(layer, ranks), 1).macs * countElements(layer.outputSize),
    async predict({ layer, regression, output, products }: SchemeInput): Promise<RankPrediction[]> {
      const whitenedWeight = await whitenLayerWeight(layer, layout, regression, output, products);
      const predictions = new Map<string, RankPrediction>();
      for (const share of DISCARDED_SHARES) {
        const ranks = buildShape(layer, await whitenedWeight.findRanks(share)).bonds;
        if (predictions.has(ranks.join())) continue;
        const { loss } = await fitTrain(layer, ranks, regression, output, whitenedWeight, products);
        predictions.set(ranks.join(), { ranks, discardedEnergy: loss });
      }
      return [...predictions.values()];
    },
    async fit(layer, ranks, regression, output, _, products) {
      return fitTrain(
        layer,
        ranks,
        regression,
        output,
        await whitenLayerWeight(layer, layout, regression, output, products),
        products,
      );
    },
    buildBias: (layer, values) => ({ name: BIAS_NAME, tensor: float32(values, buildShape(layer).outModes) }),
    emit: (b, layer, x, ranks, factors, bias) =>
      emitTtLinear(b, x, factors, bias, {
        path: layer.path,
        ...buildShape(layer, ranks),
        execution: 'factored',
        outputName: layer.output.name,
      }),
  };
  return scheme;
}
