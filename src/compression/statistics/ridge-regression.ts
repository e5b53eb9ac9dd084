/*
 * Ridge regression on samples: X with (G + pull) X = B, where G = X Xᵀ / S + diag(damping) are the second moments of samples
 * X [n, S]. Where there are fewer samples than inputs G is never formed; with D = damping + pull
 *   (X Xᵀ / S + D)⁻¹ = D⁻¹ − D⁻¹ X (S + Xᵀ D⁻¹ X)⁻¹ Xᵀ D⁻¹   (Woodbury; Golub, Van Loan, 4th ed., §2.1.4)
 * asks for a system of size S only: 25,088 inputs of a VGG16 at 224×224 would be second moments of 5 GB.
 */
import { cholesky, choleskySolve } from '../../linalg/cholesky.js';
import { type Matrix, matrix, toDouble } from '../../linalg/matrix.js';
import type { MatrixProducts } from '../../linalg/products.js';
import type { Samples } from './layer-samples.js';
import { computeSampleCovariance, createSampleMoments } from './sample-second-moments.js';
import { addToDiagonal, createMatrixMoments, type SecondMoments } from './second-moment-matrix.js';

/** Second moments G of samples, and the solution of a regression on them. */
export interface RidgeRegression {
  readonly secondMoments: SecondMoments;
  /** (G + pull)⁻¹ B for B `[n, O]`. */
  solve(right: Matrix): Promise<Matrix>;
}

/** Fewer samples than this share of the inputs: the system of their size is the cheaper one. */
const FEW_SAMPLES = 0.5;
/** The second moments of more inputs than these are never formed (12,288² float64 are 1.2 GB), and as many samples are enough. */
const MANY_INPUTS = 12_288;
const SAMPLES_OF_MANY = 8192;

/** Samples of a layer that a regression can hold. */
export function getMostSamples(inputs: number): number {
  return inputs > MANY_INPUTS ? SAMPLES_OF_MANY : Number.POSITIVE_INFINITY;
}

/** Rows of `a` over the elements of `by`. */
function divideRows(a: Matrix, by: Float64Array): Matrix {
  return matrix(
    a.rows,
    a.cols,
    a.data.map((value, at) => value / (by[Math.floor(at / a.cols)] as number)),
  );
}

async function prepareFewSamples(
  x: Samples,
  damping: Float64Array,
  pull: number,
  products: MatrixProducts,
): Promise<RidgeRegression> {
  const columns = toDouble(x.columns);
  const whole = damping.map((value) => value + pull);
  const weighted = divideRows(columns, whole);
  const kernel = await products.multiply(columns, weighted, { transposeA: true });
  const factor = await cholesky(kernel, products, columns.cols);
  return {
    secondMoments: createSampleMoments(x, damping, products),
    async solve(right) {
      const inner = await choleskySolve(
        factor,
        await products.multiply(weighted, right, { transposeA: true }),
        products,
      );
      const known = await products.multiply(columns, inner, {});
      const rest = right.data.map((value, at) => value - (known.data[at] as number));
      return divideRows(matrix(right.rows, right.cols, rest), whole);
    },
  };
}

/**
 * Prepares regressions on samples.
 *
 * @param damping added to the variances `[n]`; a part of G.
 * @param pull added to all of them; not a part of G.
 * @throws ShiboriError when the sum is not positive definite.
 */
export async function prepareRidgeRegression(
  x: Samples,
  damping: Float64Array,
  pull: number,
  products: MatrixProducts,
): Promise<RidgeRegression> {
  const { rows, cols } = x.columns;
  if (cols < FEW_SAMPLES * rows || rows > MANY_INPUTS) return prepareFewSamples(x, damping, pull, products);
  const gram = addToDiagonal(await computeSampleCovariance(x, products), damping);
  const factor = await cholesky(gram, products, pull);
  return {
    secondMoments: createMatrixMoments(gram, products, 'float32'),
    solve: (right) => choleskySolve(factor, right, products),
  };
}
