/*
 * Second moments E[z zᵀ] of what a layer sees, or of what its first cores make of it. What chooses and improves cores asks
 * for them by the few operations below; they may be held as one matrix (here) or as samples (`sample-moments.ts`).
 */
import { ShiboriError } from '../../errors.js';
import { type Cholesky, cholesky, NotPositiveDefinite } from '../../linalg/cholesky.js';
import { type Matrix, matrix, toDouble, toSingle, transpose } from '../../linalg/matrix.js';
import type { MatrixProducts } from '../../linalg/products.js';
import { range } from '../../tensor/dims.js';

/** Second moments of z = (left, right) seen from either side: G_left `[left, left]`, and G_right / tr G `[right, right]`. */
export interface Marginals {
  readonly left: Matrix;
  readonly right: Matrix;
}

/** Second moments `G = E[z zᵀ]`, positive definite. */
export interface SecondMoments {
  /** Size m of z. */
  readonly size: number;
  /** G `[m, m]`. */
  computeMatrix(): Promise<Matrix>;
  /**
   * Computes the sums over rows and columns that a metric needs.
   *
   * @param right size of the right part of z.
   */
  computeMarginals(right: number): Promise<Marginals>;
  /** G A for a map A `[m, s]`. */
  multiply(map: Matrix): Promise<Matrix>;
  /** Second moments of z′ = (coreᵀ ⊗ 1) z for a core `[left, r]`. */
  project(core: Matrix): Promise<SecondMoments>;
}

/** Trace of a square matrix. */
export function computeTrace({ rows, cols, data }: Matrix): number {
  let sum = 0;
  for (let i = 0; i < rows; i++) sum += data[i * cols + i] as number;
  return sum;
}

/** Damping of an input that never varied, as a part of what one of mean variance gets. */
const DEAD_INPUT_DAMPING = 1e-6;

/**
 * What is added to variances: `share` of each. Statistics of fewer samples than dimensions become definite, and directions
 * that hardly occurred keep a loss estimate. Each input is damped by its own scale: variances of rectified features differ by orders
 * of magnitude, and weights make up for it, so that a share of the mean would drown what matters (on the classifier of a
 * VGG16 compressed to 224,328 parameters a share of 1e-3 of the mean loses 0.0064 nats, of each its own 0.0007).
 *
 * @throws ShiboriError when one is NaN or infinite: names what they are of.
 */
export function computeDamping(variances: Float64Array, share: number, what: string): Float64Array {
  const mean = variances.reduce((sum, value) => sum + value, 0) / variances.length;
  if (!Number.isFinite(mean)) {
    throw new ShiboriError(
      `${what} hold NaN or infinite values: the model, or its calibration images, overflow before this layer.`,
      { code: 'unsupported-model' },
    );
  }
  // A layer that never sees anything has no scale of its own; any will do.
  const least = mean > 0 ? share * DEAD_INPUT_DAMPING * mean : 1;
  return variances.map((value) => share * value + least);
}

/** The diagonal of a square matrix, copied. */
export function copyDiagonal({ rows, cols, data }: Matrix): Float64Array {
  return Float64Array.from(range(rows), (i) => data[i * cols + i] as number);
}

/** `a` itself, `values` added to its diagonal. */
export function addToDiagonal(a: Matrix, values: Float64Array): Matrix {
  for (const [i, value] of values.entries()) {
    const at = i * a.cols + i;
    a.data[at] = (a.data[at] as number) + value;
  }
  return a;
}

/** `a` with `dampingOf` its diagonal added to it. Throws as that does. */
export function withDamping(a: Matrix, share: number, what: string): Matrix {
  return addToDiagonal(matrix(a.rows, a.cols, a.data.slice()), computeDamping(copyDiagonal(a), share, what));
}

/** Shares of each variance that are added to it until rounding no longer matters: of float64 sums, and of float32 ones. */
const ROUNDING_DAMPING = [1e-12, 1e-9, 1e-6, 1e-4];

/** The factor of second moments that may be nearly singular: layers with dead or equal channels, cores with dependent columns. */
export async function factorSemidefinite(
  gram: Matrix,
  products: MatrixProducts,
  [share = 0, ...more]: readonly number[] = ROUNDING_DAMPING,
): Promise<Cholesky> {
  try {
    return await cholesky(withDamping(gram, share, 'Statistics'), products);
  } catch (error) {
    if (!(error instanceof NotPositiveDefinite) || more.length === 0) throw error;
    return factorSemidefinite(gram, products, more);
  }
}

/** The marginals of a matrix of second moments. */
function computeMatrixMarginals(gram: Matrix, right: number): Marginals {
  const size = gram.rows;
  const left = matrix(size / right, size / right);
  const small = matrix(right, right);
  const trace = computeTrace(gram);
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

/** The upper triangle made that of the lower one: rounding leaves a small difference between them. */
export function mirrorLowerTriangle(a: Matrix): Matrix {
  for (let i = 0; i < a.rows; i++) {
    for (let j = 0; j < i; j++) a.data[j * a.cols + i] = a.data[i * a.cols + j] as number;
  }
  return a;
}

/** (coreᵀ ⊗ 1) A for A `[left·right, s]`, as `[r·right, s]`. */
export async function contractCore(core: Matrix, a: Matrix, products: MatrixProducts): Promise<Matrix> {
  const unfolded = matrix(core.rows, a.data.length / core.rows, a.data);
  const { data } = await products.multiply(core, unfolded, { transposeA: true });
  return matrix(data.length / a.cols, a.cols, data);
}

/**
 * Second moments held as one matrix.
 *
 * @param times how G A is computed: `float32` suffices where G is an estimate, and is faster. Default: float64.
 */
export function createMatrixMoments(
  gram: Matrix,
  products: MatrixProducts,
  times: 'float32' | 'float64' = 'float64',
): SecondMoments {
  const single = times === 'float32' ? toSingle(gram) : undefined;
  return {
    size: gram.rows,
    computeMatrix: async () => gram,
    computeMarginals: async (right) => computeMatrixMarginals(gram, right),
    multiply: async (map) =>
      single ? toDouble(await products.multiplySingle(single, toSingle(map), {})) : products.multiply(gram, map, {}),
    async project(core) {
      const half = transpose(await contractCore(core, gram, products));
      return createMatrixMoments(mirrorLowerTriangle(await contractCore(core, half, products)), products);
    },
  };
}
