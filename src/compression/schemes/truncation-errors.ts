/* What the ranks of a layer's weight T[in, height, width, out] discard at every rank, in the metric of `whitened.ts`. */
import { selectColumns } from '../../linalg/matrix.js';
import type { MatrixProducts } from '../../linalg/products.js';
import { countElements, range } from '../../tensor/dims.js';
import type { CompressibleLayer } from '../compressible-layers.js';
import {
  chooseInnerCore,
  computeOutputSpectrum,
  type MapRegression,
  projectRegression,
  sumDiscardedEnergy,
} from './layer-metric.js';

/** Mass discarded by a rank of each rank, from 0 on. */
export interface TruncationErrors {
  /** in | height·width·out */
  readonly input?: Float64Array;
  /** in·height | width·out */
  readonly middle?: Float64Array;
  /** in·height·width | out */
  readonly output: Float64Array;
}

/** Channels kept on either side while the spectrum of the rank between a kernel's axes is computed. */
const KEPT_CHANNELS = 160;

/** The truncation errors of a layer's ranks; those between the axes of a kernel where it has such. */
export async function computeTruncationErrors(
  layer: CompressibleLayer,
  regression: MapRegression,
  products: MatrixProducts,
): Promise<TruncationErrors> {
  const spectrum = await computeOutputSpectrum(regression, products);
  const output = sumDiscardedEnergy(spectrum);
  const kernel = countElements(layer.kernel);
  if (kernel === 1) return { output };
  const kept = Math.min(KEPT_CHANNELS, layer.inputs);
  const chosen = await chooseInnerCore(regression, kernel, kept, products);
  const input = sumDiscardedEnergy(chosen);
  if (layer.kernel[0] === 1 || layer.kernel[1] === 1) return { input, output };
  const projected = await projectRegression(regression, chosen.core, products);
  const outs = Math.min(KEPT_CHANNELS, layer.outputs);
  const directions = selectColumns(spectrum.directions, range(outs));
  const cross = await products.multiply(projected.cross, directions, {});
  const target = await products.multiply(projected.bestMap, directions, {});
  const core: MapRegression = { ...projected, cross, bestMap: target };
  const left = projected.secondMoments.size / layer.kernel[1];
  const middle = sumDiscardedEnergy(
    await chooseInnerCore(core, layer.kernel[1], Math.min(left, outs * layer.kernel[1]), products),
  );
  // What the restriction to the kept channels has lost already.
  const lost = (input[kept] ?? 0) + (output[outs] ?? 0);
  return { input, middle: middle.map((mass) => mass + lost), output };
}

/** A rank and the squared singular values of its unfolding in the metric, the largest first. */
export interface UnfoldingEnergies {
  readonly bond: keyof TruncationErrors;
  readonly energies: readonly number[];
}

/** What each rank of each rank adds: the steps of its truncation errors. */
export function computeEnergies(truncationErrors: TruncationErrors): UnfoldingEnergies[] {
  const unfoldings = ['input', 'middle', 'output'] as const;
  return unfoldings.flatMap((bond) => {
    const discarded = truncationErrors[bond];
    if (!discarded) return [];
    return [
      {
        bond,
        energies: range(discarded.length - 1).map((k) => (discarded[k] as number) - (discarded[k + 1] as number)),
      },
    ];
  });
}
