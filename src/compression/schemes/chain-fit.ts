/*
 * Fits a train of cores over the modes n(1) … n(d−1) | O to a map in the metric of `whitened.ts`: minimise
 *   ‖G^½ (T̂ − T)‖²  over the cores of T̂.
 * Cores are chosen from the input on, each rank in the Kronecker approximation; what follows is always the best map from
 * what the cores so far keep, and the rank to the outputs, where there is one, is exact (reduced-rank regression, Izenman
 * 1975). Then the cores are improved in turn: the objective is quadratic in one core, whose normal equations are solved by
 * conjugate gradients, preconditioned by G_left, from where it stands; everything after it is solved again.
 */

import type { Core, TensorTrain } from '../../decompose/tensor-train.js';
import { backSolve, type Cholesky, forwardSolve } from '../../linalg/cholesky.js';
import { addScaledMatrix, type Matrix, matrix, selectColumns } from '../../linalg/matrix.js';
import type { MatrixProducts } from '../../linalg/products.js';
import { range } from '../../tensor/dims.js';
import { factorSemidefinite, type SecondMoments } from '../statistics/second-moment-matrix.js';
import {
  chooseInnerCore,
  computeOutputSpectrum,
  innerProduct,
  type MapRegression,
  projectRegression,
} from './layer-metric.js';

/** A fitted train. */
export interface FittedChain extends TensorTrain {
  /** ‖G^½ (T̂ − T)‖². */
  readonly loss: number;
  /** ‖G^½ T‖². */
  readonly energy: number;
  /** The inner cores: where a later fit may start. */
  readonly innerCores: readonly Matrix[];
}

/** How hard to try. */
export interface ChainFitOptions {
  /** Rounds of improving all cores after they were chosen. Default: 0. */
  readonly sweeps?: number;
  /** Inner cores to start from, of a fit to a similar map at the same ranks. Default: chosen by their ranks. */
  readonly startCores?: readonly Matrix[];
}

/** Steps of conjugate gradients for one core. */
const CG_STEPS = 8;
/** A sweep that gains less than this share of the loss is the last. */
const LEAST_SWEEP_GAIN = 2e-3;

interface CoreChain {
  /** Inner cores as matrices `[r(k−1) n(k), r(k)]`. */
  readonly innerCores: readonly Matrix[];
  /** Everything from the last inner core on, without `outputs`: `[r, rest of the modes · s]`, s = O or the last rank. */
  readonly tail: Matrix;
  /** U `[O, r]` of the rank to the outputs, orthonormal; `undefined` where the last core reaches them itself. */
  readonly outputs: Matrix | undefined;
  readonly loss: number;
}

/** Whether the last mode is the outputs alone: then the rank before it is chosen exactly. */
const hasOutputMode = (modes: readonly number[], outputs: number): boolean => modes.at(-1) === outputs;

/** The best ending after these inner cores. */
async function completeChain(
  inner: readonly Matrix[],
  regression: MapRegression,
  rank: number | undefined,
  products: MatrixProducts,
): Promise<CoreChain> {
  const map = regression.bestMap;
  const { energy } = regression;
  if (rank === undefined) {
    const left = inner.at(-1)?.cols ?? 1;
    const tail = matrix(left, map.data.length / left, map.data);
    return {
      innerCores: inner,
      tail,
      outputs: undefined,
      loss: Math.max(0, energy - innerProduct(map, regression.cross)),
    };
  }
  const { directions, energies } = await computeOutputSpectrum(regression, products);
  const outputs = selectColumns(directions, range(Math.min(rank, directions.cols)));
  const kept = await products.multiply(map, outputs, {});
  const left = inner.at(-1)?.cols ?? 1;
  let explained = 0;
  for (let k = 0; k < outputs.cols; k++) explained += energies[k] as number;
  const tail = matrix(left, kept.data.length / left, kept.data);
  return { innerCores: inner, tail, outputs, loss: Math.max(0, energy - explained) };
}

/**
 * The quadratic problem of one inner core, those before it in its stage and those after it fixed: push a core to the whole
 * map, pull a gradient back.
 */
class CoreProblem {
  constructor(
    readonly moments: SecondMoments,
    /** `[r, right of the core · s]`. */
    readonly after: Matrix,
    /** Of the core's side of the second moments: preconditions. */
    readonly factor: Cholesky,
    readonly products: MatrixProducts,
  ) {}

  /** The map `[m, s]` that the core `[left, r]`, in preconditioned coordinates, stands for. */
  async push(q: Matrix): Promise<Matrix> {
    const core = await backSolve(this.factor, q, this.products);
    const { data } = await this.products.multiply(core, this.after, {});
    return matrix(this.moments.size, data.length / this.moments.size, data);
  }

  async pull(gradient: Matrix): Promise<Matrix> {
    const { after, products, factor } = this;
    const folded = matrix(factor.lower.rows, after.cols, gradient.data);
    return forwardSolve(factor, await products.multiply(folded, after, { transposeB: true }), products);
  }

  async applyNormal(q: Matrix): Promise<Matrix> {
    return this.pull(await this.moments.multiply(await this.push(q)));
  }
}

/** Conjugate gradients from `start` on normal(q) = right side. */
async function conjugateGradients(problem: CoreProblem, right: Matrix, start: Matrix): Promise<Matrix> {
  let x = start;
  let residual = addScaledMatrix(right, -1, await problem.applyNormal(start));
  let direction = residual;
  let size = innerProduct(residual, residual);
  for (let step = 0; step < CG_STEPS && size > 0; step++) {
    const image = await problem.applyNormal(direction);
    const curvature = innerProduct(direction, image);
    if (!(curvature > 0)) break;
    const length = size / curvature;
    x = addScaledMatrix(x, length, direction);
    residual = addScaledMatrix(residual, -length, image);
    const next = innerProduct(residual, residual);
    direction = addScaledMatrix(residual, next / size, direction);
    size = next;
  }
  return x;
}

/** Inner core `k` improved, the others fixed; `stage` is what stands in front of it. */
async function improveCore(
  chain: CoreChain,
  k: number,
  regression: MapRegression,
  modes: readonly number[],
  products: MatrixProducts,
): Promise<Matrix> {
  let after = chain.tail;
  for (const [back, each] of chain.innerCores
    .slice(k + 1)
    .reverse()
    .entries()) {
    const product = await products.multiply(each, after, {});
    const rank = each.rows / (modes[chain.innerCores.length - 1 - back] ?? 1);
    after = matrix(rank, product.data.length / rank, product.data);
  }
  const core = chain.innerCores[k] ?? matrix(0, 0);
  const { left } = await regression.secondMoments.computeMarginals(regression.secondMoments.size / core.rows);
  const problem = new CoreProblem(regression.secondMoments, after, await factorSemidefinite(left, products), products);
  const cross = chain.outputs ? await products.multiply(regression.cross, chain.outputs, {}) : regression.cross;
  const start = await products.multiply(problem.factor.lower, core, { transposeA: true });
  return backSolve(problem.factor, await conjugateGradients(problem, await problem.pull(cross), start), products);
}

/**
 * Fits cores of these ranks.
 *
 * @param regression statistics of the whole patch and the map; outputs whitened (times M^½).
 * @param modes sizes of the groups of axes; their product is n·O.
 * @param ranks one less than modes, each at most what the unfoldings allow.
 * @returns cores `[r(k−1), n(k), r(k)]` in order; the last reaches the whitened outputs.
 */
export async function fitChain(
  regression: MapRegression,
  modes: readonly number[],
  ranks: readonly number[],
  options: ChainFitOptions,
  products: MatrixProducts,
): Promise<FittedChain> {
  const exact = hasOutputMode(modes, regression.cross.cols);
  const innerRanks = exact ? ranks.slice(0, -1) : ranks;
  const last = exact ? ranks.at(-1) : undefined;
  const inner: Matrix[] = [];
  let right = regression.secondMoments.size;
  let current = regression;
  for (const [k, rank] of innerRanks.entries()) {
    right /= modes[k] ?? 1;
    const core = options.startCores?.[k] ?? (await chooseInnerCore(current, right, rank, products)).core;
    inner.push(core);
    current = await projectRegression(current, core, products);
  }
  let best = await completeChain(inner, current, last, products);
  for (let sweep = 0; sweep < (options.sweeps ?? 0) && inner.length > 0; sweep++) {
    let chain = best;
    let before = regression;
    for (const k of range(inner.length)) {
      const improved = await improveCore(chain, k, before, modes, products);
      const cores = chain.innerCores.map((core, j) => (j === k ? improved : core));
      before = await projectRegression(before, improved, products);
      let end = before;
      for (const core of cores.slice(k + 1)) end = await projectRegression(end, core, products);
      chain = await completeChain(cores, end, last, products);
    }
    if (!(chain.loss < best.loss)) break;
    const enough = best.loss - chain.loss < LEAST_SWEEP_GAIN * best.loss;
    best = chain;
    if (enough) break;
  }
  return { ...toTensorTrain(best, modes), loss: best.loss, energy: regression.energy, innerCores: best.innerCores };
}

function toTensorTrain({ innerCores: inner, tail, outputs }: CoreChain, modes: readonly number[]): TensorTrain {
  const cores: Core[] = inner.map(({ cols, rows, data }, k) => {
    const mode = modes[k] ?? 1;
    return { dims: [rows / mode, mode, cols], data };
  });
  const mode = modes[inner.length] ?? 1;
  if (!outputs) cores.push({ dims: [tail.rows, mode, 1], data: tail.data });
  else {
    cores.push({ dims: [tail.rows, mode, outputs.cols], data: tail.data });
    const turned = new Float64Array(outputs.data.length);
    for (let o = 0; o < outputs.rows; o++) {
      for (let r = 0; r < outputs.cols; r++)
        turned[r * outputs.rows + o] = outputs.data[o * outputs.cols + r] as number;
    }
    cores.push({ dims: [outputs.cols, outputs.rows, 1], data: turned });
  }
  return { modes: [...modes], ranks: cores.slice(0, -1).map(({ dims }) => dims[2]), cores };
}
