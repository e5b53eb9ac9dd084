/* What the bonds of a layer's weight T[in, height, width, out] discard at every rank, in the metric of `whitened.ts`. */
import { selectColumns } from '../../linalg/matrix.js';
import type { MatrixProducts } from '../../linalg/products.js';
import { range, sizeOf } from '../../tensor/dims.js';
import type { SqueezeLayer } from '../squeeze-layer.js';
import { behindCore, discardedMass, innerCore, outputSpectrum, type Stage } from './whitened.js';

/** Mass discarded by a bond of each rank, from 0 on. */
export interface Tails {
  /** in | height·width·out */
  readonly input?: Float64Array;
  /** in·height | width·out */
  readonly middle?: Float64Array;
  /** in·height·width | out */
  readonly output: Float64Array;
}

/** Channels kept on either side while the spectrum of the bond between a kernel's axes is computed. */
const CORE_CHANNELS = 160;

/** The tails of a layer's bonds; those between the axes of a kernel where it has such. */
export async function tailsOf(layer: SqueezeLayer, stage: Stage, products: MatrixProducts): Promise<Tails> {
  const spectrum = await outputSpectrum(stage, products);
  const output = discardedMass(spectrum);
  const kernel = sizeOf(layer.kernel);
  if (kernel === 1) return { output };
  const kept = Math.min(CORE_CHANNELS, layer.inputs);
  const chosen = await innerCore(stage, kernel, kept, products);
  const input = discardedMass(chosen);
  if (layer.kernel[0] === 1 || layer.kernel[1] === 1) return { input, output };
  const behind = await behindCore(stage, chosen.core, products);
  const outs = Math.min(CORE_CHANNELS, layer.outputs);
  const directions = selectColumns(spectrum.directions, range(outs));
  const cross = await products.multiply(behind.cross, directions, {});
  const target = await products.multiply(behind.target, directions, {});
  const core: Stage = { ...behind, cross, target };
  const left = behind.moments.size / layer.kernel[1];
  const middle = discardedMass(
    await innerCore(core, layer.kernel[1], Math.min(left, outs * layer.kernel[1]), products),
  );
  // What the restriction to the kept channels has lost already.
  const lost = (input[kept] ?? 0) + (output[outs] ?? 0);
  return { input, middle: middle.map((mass) => mass + lost), output };
}

/** A bond and the squared singular values of its unfolding in the metric, the largest first. */
export interface BondEnergies {
  readonly bond: keyof Tails;
  readonly energies: readonly number[];
}

/** What each rank of each bond adds: the steps of its tails. */
export function energiesOf(tails: Tails): BondEnergies[] {
  const bonds = ['input', 'middle', 'output'] as const;
  return bonds.flatMap((bond) => {
    const mass = tails[bond];
    if (!mass) return [];
    return [{ bond, energies: range(mass.length - 1).map((k) => (mass[k] as number) - (mass[k + 1] as number)) }];
  });
}
