/*
 * The metric of a layer y = Tᵀ x + b, T [n, O]: second moments G = E[x xᵀ] of its input patches and M of the loss
 * gradient at its output, M = E[Σ over positions g gᵀ]. Replacing T by T̂ is predicted to raise the loss by
 *
 *   ½ ‖G^½ (T̂ − T) M^½‖²   (K-FAC; Martens, Grosse 2015, arXiv:1503.05671; for convolutions Grosse, Martens 2016)
 *
 * `loss` below is this sum of squares without the ½, T times M^½ already. At the bond to the outputs the best truncation
 * needs no root of G: with the Gram matrix Tᵀ G T = U Λ Uᵀ, T̂ = T U Uᵀ, and the discarded mass is the sum of the other λ.
 * At inner bonds G is taken as a Kronecker product of its marginals, G ≈ G_left ⊗ G_right / tr G, G_left = L Lᵀ: the
 * singular directions V of Lᵀ T (G_right / tr G)^½, unfolded left | right·out, give the core L^−ᵀ V.
 */
import { ShiboriError } from '../errors.js';
import { backSolve, type Cholesky, cholesky, choleskySolve } from '../linalg/cholesky.js';
import { type Matrix, matrix, selectColumns, transpose } from '../linalg/matrix.js';
import type { MatrixProducts } from '../linalg/products.js';
import { GRAM_LIMIT, spectrumOf } from '../linalg/spectrum.js';
import { symmetricEigen } from '../linalg/symmetric-eigen.js';
import { symmetricRoot } from '../linalg/symmetric-root.js';
import { range } from '../tensor/dims.js';

/** A map seen from behind its first cores: z = what they make of x, and the best linear map from z to the targets. */
export interface Stage {
  /** E[z zᵀ] `[m, m]`, positive definite. */
  readonly gram: Matrix;
  /** E[z yᵀ] `[m, O]`. */
  readonly cross: Matrix;
  /** gram⁻¹ cross `[m, O]`. */
  readonly target: Matrix;
}

/** Directions of one bond and what each is worth. */
export interface BondSpectrum {
  /** Squared singular values in the metric, descending. */
  readonly energies: Float64Array;
  /** Sum of those that were not computed. */
  readonly rest: number;
}

/** Trace of a square matrix. */
export function traceOf({ rows, cols, data }: Matrix): number {
  let sum = 0;
  for (let i = 0; i < rows; i++) sum += data[i * cols + i] as number;
  return sum;
}

/** Σ a ∘ b. */
export function innerProduct(a: Matrix, b: Matrix): number {
  let sum = 0;
  for (let i = 0; i < a.data.length; i++) sum += (a.data[i] as number) * (b.data[i] as number);
  return sum;
}

/** Damping of an input that never varied, as a part of what one of mean variance gets. */
const DEAD = 1e-6;

/**
 * `a` with `share` of its diagonal added to the diagonal: statistics of fewer samples than dimensions become definite, and
 * directions that hardly occurred keep a price. Each input is damped by its own scale: variances of rectified features differ
 * by orders of magnitude, and weights make up for it, so that a share of the mean would drown what matters (on the classifier
 * of a VGG16 squeezed to 224,328 parameters a share of 1e-3 of the mean loses 0.0064 nats, of each its own 0.0007).
 *
 * @throws ShiboriError when the statistics hold NaN or infinite values: names what they are of.
 */
export function damped(a: Matrix, share: number, what: string): Matrix {
  const mean = traceOf(a) / a.rows;
  if (!Number.isFinite(mean) || a.data.some((value) => !Number.isFinite(value))) {
    throw new ShiboriError(
      `${what} hold NaN or infinite values: the model, or its calibration images, overflow before this layer.`,
    );
  }
  const result = matrix(a.rows, a.cols, a.data.slice());
  // A layer that never sees anything has no scale of its own; any will do.
  const least = mean > 0 ? share * DEAD * mean : 1;
  for (let i = 0; i < a.rows; i++) {
    const at = i * a.cols + i;
    result.data[at] = (1 + share) * (result.data[at] as number) + least;
  }
  return result;
}

/** The stage in front of all cores. */
export async function firstStage(gram: Matrix, target: Matrix, products: MatrixProducts): Promise<Stage> {
  return { gram, target, cross: await products.multiply(gram, target, {}) };
}

/** The marginals of the second moments of z = (left, right): G_left, and G_right / tr G. */
export function marginals(gram: Matrix, right: number): { left: Matrix; right: Matrix } {
  const size = gram.rows;
  const left = matrix(size / right, size / right);
  const small = matrix(right, right);
  const trace = traceOf(gram);
  for (let i = 0; i < size; i++) {
    const [a, c] = [Math.floor(i / right), i % right];
    for (let b = 0; b < left.rows; b++) {
      const at = a * left.cols + b;
      left.data[at] = (left.data[at] as number) + (gram.data[i * size + b * right + c] as number);
    }
    for (let d = 0; d < right; d++) {
      const at = c * right + d;
      small.data[at] = (small.data[at] as number) + (gram.data[i * size + a * right + d] as number) / trace;
    }
  }
  return { left, right: small };
}

/** `target` `[left·right, O]` as `[left, right·O]`, root applied along `right`. */
function weighted(target: Matrix, root: Matrix): Matrix {
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
export interface ChosenCore extends BondSpectrum {
  /** `[left, r]`. */
  readonly core: Matrix;
  /** Of G_left. */
  readonly factor: Cholesky;
}

/** Directions of an inner bond in the metric, and what brings them back. */
interface BondDirections extends BondSpectrum {
  readonly directions: Matrix;
  /** Of G_left. */
  readonly factor: Cholesky;
}

/** What was computed for all ranks at once of a stage, by the size right of the bond. */
const allDirections = new WeakMap<Stage, Map<number, Promise<BondDirections>>>();

/** @param rank how many directions are needed; `undefined`: all. */
async function directionsOf(
  stage: Stage,
  right: number,
  rank: number | undefined,
  products: MatrixProducts,
): Promise<BondDirections> {
  const { left, right: rest } = marginals(stage.gram, right);
  const factor = await cholesky(left, products);
  const { root } = await symmetricRoot(rest, products);
  const whitened = await products.multiply(factor.lower, weighted(stage.target, root), { transposeA: true });
  return { factor, ...(await leftDirections(whitened, rank, products)) };
}

/** The core of an inner bond of rank `rank`, left | right·out, in the Kronecker approximation of the metric. */
export async function innerCore(
  stage: Stage,
  right: number,
  rank: number,
  products: MatrixProducts,
): Promise<ChosenCore> {
  const size = stage.gram.rows / right;
  const all = Math.min(size, right * stage.target.cols) <= GRAM_LIMIT;
  let bond: Promise<BondDirections>;
  if (all) {
    // One eigenvalue problem serves the curve and the points of it that are measured.
    const known = allDirections.get(stage) ?? new Map<number, Promise<BondDirections>>();
    allDirections.set(stage, known);
    bond = known.get(right) ?? directionsOf(stage, right, undefined, products);
    known.set(right, bond);
  } else {
    // Above the limit only the energies that a rank asks for can be had.
    bond = directionsOf(stage, right, rank, products);
  }
  const { directions, factor, energies, rest } = await bond;
  const kept = selectColumns(directions, range(Math.min(rank, directions.cols)));
  return { core: await backSolve(factor, kept, products), factor, energies, rest };
}

/** Left singular directions, whichever side is the smaller. */
async function leftDirections(
  a: Matrix,
  rank: number | undefined,
  products: MatrixProducts,
): Promise<BondSpectrum & { readonly directions: Matrix }> {
  if (a.rows <= a.cols) return spectrumOf(a, rank, products);
  const { directions, energies, rest } = await spectrumOf(transpose(a), rank, products);
  const projected = await products.multiply(a, directions, { transposeB: false });
  for (let j = 0; j < projected.cols; j++) {
    const scale = Math.sqrt(Math.max(energies[j] as number, Number.MIN_VALUE));
    for (let i = 0; i < projected.rows; i++) {
      const at = i * projected.cols + j;
      projected.data[at] = (projected.data[at] as number) / scale;
    }
  }
  return { directions: projected, energies, rest };
}

/** `target` and `cross` seen through a core: z′ = (coreᵀ ⊗ 1) z. */
export async function throughCore(stage: Stage, core: Matrix, products: MatrixProducts): Promise<Stage> {
  const { rows: left, cols: rank } = core;
  const right = stage.gram.rows / left;
  const outputs = stage.cross.cols;
  const project = async (source: Matrix): Promise<Matrix> => {
    const rowsOf = matrix(left, source.data.length / left, source.data);
    const result = await products.multiply(core, rowsOf, { transposeA: true });
    return matrix(rank * right, source.cols, result.data);
  };
  const cross = await project(stage.cross);
  const half = await project(stage.gram);
  const gram = await project(transpose(half));
  // Rounding leaves a small difference between the two triangles.
  for (let i = 0; i < gram.rows; i++) {
    for (let j = 0; j < i; j++) gram.data[j * gram.cols + i] = gram.data[i * gram.cols + j] as number;
  }
  const factor = await cholesky(damped(gram, ROUNDING, 'The statistics behind a core'), products);
  const target = await choleskySolve(factor, matrix(rank * right, outputs, cross.data), products);
  return { gram, cross, target };
}

/** Keeps Cholesky going where a core has nearly dependent columns. */
const ROUNDING = 1e-12;

/** The Gram matrix of the bond to the outputs, UΛUᵀ. */
export async function outputSpectrum(
  stage: Stage,
  products: MatrixProducts,
): Promise<BondSpectrum & { readonly directions: Matrix }> {
  const gram = await products.multiply(stage.target, stage.cross, { transposeA: true });
  for (let i = 0; i < gram.rows; i++) {
    for (let j = 0; j < i; j++) {
      const mean = ((gram.data[i * gram.cols + j] as number) + (gram.data[j * gram.cols + i] as number)) / 2;
      gram.data[i * gram.cols + j] = mean;
      gram.data[j * gram.cols + i] = mean;
    }
  }
  const { values, vectors } = symmetricEigen(gram);
  return { directions: vectors, energies: values.map((value) => Math.max(0, value)), rest: 0 };
}

/** What a bond of each rank discards: `tails[r]`, from r = 0 on. */
export function discardedMass({ energies, rest }: BondSpectrum): Float64Array {
  const tails = new Float64Array(energies.length + 1).fill(rest);
  for (let k = energies.length - 1; k >= 0; k--) tails[k] = (tails[k + 1] as number) + (energies[k] as number);
  return tails;
}
