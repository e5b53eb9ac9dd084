/*
 * The metric of a layer y = Tᵀ x + b, T [n, O]: second moments G = E[x xᵀ] of its input patches and M of the loss
 * gradient at its output, M = E[Σ over positions g gᵀ]. Replacing T by T̂ is predicted to raise the loss by
 *
 *   ½ ‖G^½ (T̂ − T) M^½‖²   (K-FAC; Martens, Grosse 2015, arXiv:1503.05671; for convolutions Grosse, Martens 2016)
 *
 * `loss` below is this sum of squares without the ½, T times M^½ already. At the rank to the outputs the best truncation
 * needs no root of G: with the Gram matrix Tᵀ G T = U Λ Uᵀ, T̂ = T U Uᵀ, and the discarded energy is the sum of the other λ.
 * At inner ranks G is taken as a Kronecker product of its marginals, G ≈ G_left ⊗ G_right / tr G, G_left = L Lᵀ: the
 * singular directions V of Lᵀ T (G_right / tr G)^½, unfolded left | right·out, give the core L^−ᵀ V.
 */
import { backSolve, type Cholesky, choleskySolve } from '../../linalg/cholesky.js';
import { type Matrix, matrix, selectColumns, transpose } from '../../linalg/matrix.js';
import type { MatrixProducts } from '../../linalg/products.js';
import { computeSpectrum, GRAM_LIMIT } from '../../linalg/spectrum.js';
import { symmetricEigen } from '../../linalg/symmetric-eigen.js';
import { symmetricRoot } from '../../linalg/symmetric-root.js';
import { range } from '../../tensor/dims.js';
import { contractCore, factorSemidefinite, type SecondMoments } from '../statistics/second-moment-matrix.js';

/** A map seen from after its first cores: z = what they make of x, and the best linear map from z to the targets t. */
export interface MapRegression {
  /** Of z, of size m. */
  readonly secondMoments: SecondMoments;
  /** E[z tᵀ] `[m, O]`. */
  readonly cross: Matrix;
  /** The best map, G⁻¹ E[z tᵀ] `[m, O]`. */
  readonly bestMap: Matrix;
  /** What a map of zeros loses. */
  readonly energy: number;
}

/** Directions of one rank and what each contributes. */
export interface UnfoldingSpectrum {
  /** Squared singular values in the metric, descending. */
  readonly energies: Float64Array;
  /** Sum of those that were not computed. */
  readonly restEnergy: number;
}

/** Σ a ∘ b. */
export function innerProduct(a: Matrix, b: Matrix): number {
  let sum = 0;
  for (let i = 0; i < a.data.length; i++) sum += (a.data[i] as number) * (b.data[i] as number);
  return sum;
}

/** A stage whose best map is known; `cross` is G times it. */
export function createRegression(
  moments: SecondMoments,
  target: Matrix,
  cross: Matrix,
  energy = innerProduct(target, cross),
): MapRegression {
  return { secondMoments: moments, cross, bestMap: target, energy };
}

/** The stage in front of all cores of a map `[n, O]` that is known. */
export async function createMapRegression(moments: SecondMoments, map: Matrix): Promise<MapRegression> {
  return createRegression(moments, map, await moments.multiply(map));
}

/** `target` `[left·right, O]` as `[left, right·O]`, root applied along `right`. */
function unfoldWeighted(target: Matrix, root: Matrix): Matrix {
  const right = root.rows;
  const outputs = target.cols;
  const left = target.rows / right;
  const result = matrix(left, right * outputs);
  for (let a = 0; a < left; a++) {
    for (let c = 0; c < right; c++) {
      const to = (a * right + c) * outputs;
      for (let d = 0; d < right; d++) {
        const factor = root.data[c * right + d] as number;
        const from = (a * right + d) * outputs;
        for (let o = 0; o < outputs; o++) {
          result.data[to + o] = (result.data[to + o] as number) + factor * (target.data[from + o] as number);
        }
      }
    }
  }
  return result;
}

/** A core chosen in the metric. */
export interface ChosenCore extends UnfoldingSpectrum {
  /** `[left, r]`. */
  readonly core: Matrix;
  /** Of G_left. */
  readonly factor: Cholesky;
}

/** Directions of an inner rank in the metric, and what brings them back. */
interface UnfoldingDirections extends UnfoldingSpectrum {
  readonly directions: Matrix;
  /** Of G_left. */
  readonly factor: Cholesky;
}

/** What was computed for all ranks at once of a stage, by the size right of the rank. */
const directionsCache = new WeakMap<MapRegression, Map<number, Promise<UnfoldingDirections>>>();

/** @param rank how many directions are needed; `undefined`: all. */
async function computeDirections(
  regression: MapRegression,
  right: number,
  rank: number | undefined,
  products: MatrixProducts,
): Promise<UnfoldingDirections> {
  const { left, right: rest } = await regression.secondMoments.computeMarginals(right);
  const factor = await factorSemidefinite(left, products);
  const { root } = await symmetricRoot(rest, products);
  const whitened = await products.multiply(factor.lower, unfoldWeighted(regression.bestMap, root), {
    transposeA: true,
  });
  return { factor, ...(await computeLeftDirections(whitened, rank, products)) };
}

/** The core of an inner rank of rank `rank`, left | right·out, in the Kronecker approximation of the metric. */
export async function chooseInnerCore(
  regression: MapRegression,
  right: number,
  rank: number,
  products: MatrixProducts,
): Promise<ChosenCore> {
  const size = regression.secondMoments.size / right;
  const all = Math.min(size, right * regression.bestMap.cols) <= GRAM_LIMIT;
  let unfolding: Promise<UnfoldingDirections>;
  if (all) {
    // One eigenvalue problem serves the curve and the points of it that are measured.
    const known = directionsCache.get(regression) ?? new Map<number, Promise<UnfoldingDirections>>();
    directionsCache.set(regression, known);
    unfolding = known.get(right) ?? computeDirections(regression, right, undefined, products);
    known.set(right, unfolding);
  } else {
    // Above the limit only the energies that a rank asks for can be had.
    unfolding = computeDirections(regression, right, rank, products);
  }
  const { directions, factor, energies, restEnergy: rest } = await unfolding;
  const kept = selectColumns(directions, range(Math.min(rank, directions.cols)));
  return { core: await backSolve(factor, kept, products), factor, energies, restEnergy: rest };
}

/** Left singular directions, whichever side is the smaller. */
async function computeLeftDirections(
  a: Matrix,
  rank: number | undefined,
  products: MatrixProducts,
): Promise<UnfoldingSpectrum & { readonly directions: Matrix }> {
  if (a.rows <= a.cols) return computeSpectrum(a, rank, products);
  const { directions, energies, restEnergy: rest } = await computeSpectrum(transpose(a), rank, products);
  const projected = await products.multiply(a, directions, { transposeB: false });
  for (let j = 0; j < projected.cols; j++) {
    const scale = Math.sqrt(Math.max(energies[j] as number, Number.MIN_VALUE));
    for (let i = 0; i < projected.rows; i++) {
      const at = i * projected.cols + j;
      projected.data[at] = (projected.data[at] as number) / scale;
    }
  }
  return { directions: projected, energies, restEnergy: rest };
}

/** A stage seen through one more core: z′ = (coreᵀ ⊗ 1) z. */
export async function projectRegression(
  regression: MapRegression,
  core: Matrix,
  products: MatrixProducts,
): Promise<MapRegression> {
  const cross = await contractCore(core, regression.cross, products);
  const moments = await regression.secondMoments.project(core);
  const target = await choleskySolve(
    await factorSemidefinite(await moments.computeMatrix(), products),
    cross,
    products,
  );
  return createRegression(moments, target, cross, regression.energy);
}

type OutputSpectrum = UnfoldingSpectrum & { readonly directions: Matrix };

/** What was computed of a stage: the curve and all points of it that are measured ask for the same. */
const outputSpectrumCache = new WeakMap<MapRegression, Promise<OutputSpectrum>>();

/** The Gram matrix of the rank to the outputs, UΛUᵀ. */
export function computeOutputSpectrum(regression: MapRegression, products: MatrixProducts): Promise<OutputSpectrum> {
  const known = outputSpectrumCache.get(regression) ?? diagonalizeOutputs(regression, products);
  outputSpectrumCache.set(regression, known);
  return known;
}

async function diagonalizeOutputs(regression: MapRegression, products: MatrixProducts): Promise<OutputSpectrum> {
  const gram = await products.multiply(regression.bestMap, regression.cross, { transposeA: true });
  for (let i = 0; i < gram.rows; i++) {
    for (let j = 0; j < i; j++) {
      const mean = ((gram.data[i * gram.cols + j] as number) + (gram.data[j * gram.cols + i] as number)) / 2;
      gram.data[i * gram.cols + j] = mean;
      gram.data[j * gram.cols + i] = mean;
    }
  }
  const { values, vectors } = symmetricEigen(gram);
  return { directions: vectors, energies: values.map((value) => Math.max(0, value)), restEnergy: 0 };
}

/** What a rank of each rank discards: `tails[r]`, from r = 0 on. */
export function sumDiscardedEnergy({ energies, restEnergy: rest }: UnfoldingSpectrum): Float64Array {
  const discarded = new Float64Array(energies.length + 1).fill(rest);
  for (let k = energies.length - 1; k >= 0; k--) discarded[k] = (discarded[k + 1] as number) + (energies[k] as number);
  return discarded;
}
