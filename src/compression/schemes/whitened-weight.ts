/*
 * The tensor train of a linear layer's weight in the metric of its data. The second moments of `whitened.ts` are taken as
 * Kronecker products over the modes, G ≈ tr G · ⊗ G(k) / tr G with G(k) the partial trace on mode k, and M alike. With
 * Cholesky factors L of these, TT-SVD truncates the weight times Lᵀ along every mode, and each core goes back by L^−ᵀ.
 * ½ of the squared error so measured is the predicted rise of the loss, as far as the Kronecker products hold.
 */

import { checkRequest, getTrainModes, type TtRequest } from '../../decompose/modes.js';
import type { Core } from '../../decompose/tensor-train.js';
import { decomposeWeight, type TtWeight, toTrainOrder } from '../../decompose/tt-weight.js';
import { backSolve, type Cholesky } from '../../linalg/cholesky.js';
import { type Matrix, matrix } from '../../linalg/matrix.js';
import type { MatrixProducts } from '../../linalg/products.js';
import { computeSpectrum } from '../../linalg/spectrum.js';
import { countElements } from '../../tensor/dims.js';
import { defined } from '../../values.js';
import { computeTrace, factorSemidefinite } from '../statistics/second-moment-matrix.js';
import { sumDiscardedEnergy } from './layer-metric.js';

/** Second moments of a linear layer, damped: `inputs` `[in, in]`, `gradients` `[out, out]`. */
export interface LinearSecondMoments {
  readonly inputs: Matrix;
  readonly gradients: Matrix;
}

/** The partial trace of `a` on mode `k`, scaled so that the product of all modes' has the trace of `a`. */
export function computePartialTrace(a: Matrix, modes: readonly number[], k: number): Matrix {
  const mode = modes[k] ?? 1;
  const inner = countElements(modes.slice(k + 1));
  const outer = countElements(modes.slice(0, k));
  const result = matrix(mode, mode);
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < mode; i++) {
      for (let j = 0; j < mode; j++) {
        const [row, column] = [(o * mode + i) * inner, (o * mode + j) * inner];
        let sum = 0;
        for (let r = 0; r < inner; r++) sum += a.data[(row + r) * a.cols + column + r] as number;
        result.data[i * mode + j] = (result.data[i * mode + j] as number) + sum;
      }
    }
  }
  const scale = computeTrace(a) ** (1 / modes.length - 1);
  return matrix(
    mode,
    mode,
    result.data.map((value) => value * scale),
  );
}

/** Σ over b of `factor[b, a]` source[…, b, …] along an axis of `mode` elements, `inner` elements apart: times Lᵀ. */
function multiplyByTranspose(source: Float64Array, factor: Matrix, inner: number): Float64Array {
  const mode = factor.rows;
  const result = new Float64Array(source.length);
  for (let start = 0; start < source.length; start += mode * inner) {
    for (let b = 0; b < mode; b++) {
      for (let a = 0; a <= b; a++) {
        const weight = factor.data[b * mode + a] as number;
        const [to, from] = [start + a * inner, start + b * inner];
        for (let r = 0; r < inner; r++) {
          result[to + r] = (result[to + r] as number) + weight * (source[from + r] as number);
        }
      }
    }
  }
  return result;
}

/** A core with its axis of `mode` elements, `after` elements apart, times L^−ᵀ. */
async function unwhiten(
  data: Float64Array,
  factor: Cholesky,
  after: number,
  products: MatrixProducts,
): Promise<Float64Array> {
  const mode = factor.lower.rows;
  const result = new Float64Array(data.length);
  for (let start = 0; start < data.length; start += mode * after) {
    const slice = matrix(mode, after, data.subarray(start, start + mode * after));
    result.set((await backSolve(factor, slice, products)).data, start);
  }
  return result;
}

/** A linear layer's weight, whitened along its modes. */
export interface WhitenedWeight {
  /** The smallest ranks that discard this share of its squared norm each, or less. */
  findRanks(share: number): Promise<number[]>;
  /** The train with these ranks, its cores in the layer's own coordinates; norm, error and bound are the whitened weight's. */
  truncate(bonds: readonly number[] | undefined): Promise<TtWeight>;
}

/**
 * Whitens a weight for trains of these modes.
 *
 * @param layer name of the layer, for messages.
 * @param weight `[out, in]`.
 * @throws UsageError when the modes do not fit the weight, ShiboriError when second moments are not positive definite.
 */
export async function whitenWeight(
  layer: string,
  weight: Matrix,
  request: Omit<TtRequest, 'bonds'>,
  moments: LinearSecondMoments,
  products: MatrixProducts,
): Promise<WhitenedWeight> {
  checkRequest(layer, request, weight.rows, weight.cols);
  const { outModes, inModes, layout } = request;
  const factorModes = (of: Matrix, modes: readonly number[]) =>
    Promise.all(modes.map((_, k) => factorSemidefinite(computePartialTrace(of, modes, k), products)));
  const outFactors = await factorModes(moments.gradients, outModes);
  const inFactors = await factorModes(moments.inputs, inModes);
  let data = weight.data;
  let inner = weight.data.length;
  for (const { lower } of [...outFactors, ...inFactors]) {
    inner /= lower.rows;
    data = multiplyByTranspose(data, lower, inner);
  }
  const whitened = matrix(weight.rows, weight.cols, data);
  const modes = getTrainModes(request);
  // Each rank's discarded energy by its rank: needed for a curve only.
  let discardedEnergies: Promise<Float64Array[]> | undefined;
  const computeDiscardedEnergies = async (): Promise<Float64Array[]> => {
    const ordered = toTrainOrder(data, request);
    const found: Float64Array[] = [];
    for (let k = 1; k < modes.length; k++) {
      const rows = countElements(modes.slice(0, k));
      found.push(
        sumDiscardedEnergy(await computeSpectrum(matrix(rows, data.length / rows, ordered), undefined, products)),
      );
    }
    return found;
  };
  return {
    async findRanks(share) {
      discardedEnergies ??= computeDiscardedEnergies();
      return (await discardedEnergies).map((discarded) => {
        const rank = discarded.findIndex((lost) => lost <= share * (discarded[0] ?? 0));
        return Math.max(1, rank < 0 ? discarded.length - 1 : rank);
      });
    },
    async truncate(bonds) {
      const wanted = { layout, outModes, inModes, ...defined({ bonds }) };
      const { shape, train } = await decomposeWeight(layer, whitened, wanted, products);
      const cores: Core[] = [];
      for (const [k, { dims, data: values }] of train.cores.entries()) {
        const after = dims[2];
        const [out, into] = [outFactors[k], inFactors[layout === 'tt' ? k - outModes.length : k]];
        let core = values;
        // A pair's axes lie [r, out, in, r′].
        if (into) core = await unwhiten(core, into, after, products);
        if (out) core = await unwhiten(core, out, layout === 'tt' ? after : after * (inModes[k] ?? 1), products);
        cores.push({ dims, data: core });
      }
      return { shape, train: { ...train, cores } };
    },
  };
}
