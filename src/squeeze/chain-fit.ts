/*
 * Fits a train of cores over the modes n(1) … n(d−1) | O to a map in the metric of `whitened.ts`: minimise
 *   ‖G^½ (T̂ − T)‖²  over the cores of T̂.
 * Cores are chosen from the input on, each bond in the Kronecker approximation; what follows is always the best map from
 * what the cores so far keep, and the bond to the outputs, where there is one, is exact (reduced-rank regression, Izenman
 * 1975). Then the cores are improved in turn: the objective is quadratic in one core, whose normal equations are solved by
 * conjugate gradients, preconditioned by G_left, from where it stands; everything behind it is solved anew.
 */

import type { Core, TensorTrain } from '../decompose/tensor-train.js';
import { backSolve, type Cholesky, cholesky, forwardSolve } from '../linalg/cholesky.js';
import { type Matrix, matrix, selectColumns } from '../linalg/matrix.js';
import type { MatrixProducts, Multiplier } from '../linalg/products.js';
import { range, sizeOf } from '../tensor/dims.js';
import { innerCore, innerProduct, marginals, outputSpectrum, type Stage, throughCore } from './whitened.js';

/** A fitted train. */
export interface FittedChain extends TensorTrain {
  /** ‖G^½ (T̂ − T)‖². */
  readonly loss: number;
  /** ‖G^½ T‖². */
  readonly mass: number;
  /** The inner cores: where a later fit may start. */
  readonly inner: readonly Matrix[];
}

/** How hard to try. */
export interface FitOptions {
  /** Rounds of improving all cores after they were chosen. Default: 0. */
  readonly sweeps?: number;
  /** Inner cores to start from, of a fit to a similar map at the same ranks. Default: chosen by their bonds. */
  readonly start?: readonly Matrix[];
}

/** Steps of conjugate gradients for one core. */
const CG_STEPS = 8;
/** A sweep that gains less than this share of the loss is the last. */
const ENOUGH = 2e-3;

interface Chain {
  /** Inner cores as matrices `[r(k−1) n(k), r(k)]`. */
  readonly inner: readonly Matrix[];
  /** Everything from the last inner core on, without `outputs`: `[r, rest of the modes · s]`, s = O or the last rank. */
  readonly tail: Matrix;
  /** U `[O, r]` of the bond to the outputs, orthonormal; `undefined` where the last core reaches them itself. */
  readonly outputs: Matrix | undefined;
  readonly loss: number;
}

/** Whether the last mode is the outputs alone: then the bond before it is chosen exactly. */
const endsInOutputs = (modes: readonly number[], outputs: number): boolean => modes.at(-1) === outputs;

/** The best ending behind these inner cores. */
async function finish(
  inner: readonly Matrix[],
  stage: Stage,
  mass: number,
  rank: number | undefined,
  products: MatrixProducts,
): Promise<Chain> {
  if (rank === undefined) {
    const left = inner.at(-1)?.cols ?? 1;
    const tail = matrix(left, stage.target.data.length / left, stage.target.data);
    return { inner, tail, outputs: undefined, loss: Math.max(0, mass - innerProduct(stage.target, stage.cross)) };
  }
  const { directions, energies } = await outputSpectrum(stage, products);
  const outputs = selectColumns(directions, range(Math.min(rank, directions.cols)));
  const kept = await products.multiply(stage.target, outputs, {});
  const left = inner.at(-1)?.cols ?? 1;
  let explained = 0;
  for (let k = 0; k < outputs.cols; k++) explained += energies[k] as number;
  const tail = matrix(left, kept.data.length / left, kept.data);
  return { inner, tail, outputs, loss: Math.max(0, mass - explained) };
}

/** The quadratic problem of inner core `k`, everything else fixed: push a core to the whole map, pull a gradient back. */
class CoreProblem {
  constructor(
    readonly size: number,
    /** G times a map. */
    readonly throughGram: Multiplier,
    /** `[left of the core, r(k−1)]`. */
    readonly before: Matrix,
    /** `[r(k), right of the core · s]`. */
    readonly after: Matrix,
    readonly factor: Cholesky,
    readonly products: MatrixProducts,
  ) {}

  /** The map `[n, s]` that the core `[r(k−1) n(k), r(k)]`, in preconditioned coordinates, stands for. */
  async push(q: Matrix): Promise<Matrix> {
    const core = await backSolve(this.factor, q, this.products);
    const behind = await this.products.multiply(core, this.after, {});
    const rows = matrix(this.before.cols, behind.data.length / this.before.cols, behind.data);
    const whole = this.before.rows === 1 ? rows : await this.products.multiply(this.before, rows, {});
    return matrix(this.size, whole.data.length / this.size, whole.data);
  }

  async pull(gradient: Matrix): Promise<Matrix> {
    const { before, after, products, factor } = this;
    const rows = matrix(before.rows, gradient.data.length / before.rows, gradient.data);
    const inside = before.rows === 1 ? rows : await products.multiply(before, rows, { transposeA: true });
    const folded = matrix(inside.data.length / after.cols, after.cols, inside.data);
    return forwardSolve(factor, await products.multiply(folded, after, { transposeB: true }), products);
  }

  async normal(q: Matrix): Promise<Matrix> {
    return this.pull(await this.throughGram(await this.push(q)));
  }
}

function combine(a: Matrix, factor: number, b: Matrix): Matrix {
  return matrix(
    a.rows,
    a.cols,
    a.data.map((value, i) => value + factor * (b.data[i] as number)),
  );
}

/** Conjugate gradients from `start` on normal(q) = right side. */
async function conjugateGradients(problem: CoreProblem, right: Matrix, start: Matrix): Promise<Matrix> {
  let x = start;
  let residual = combine(right, -1, await problem.normal(start));
  let direction = residual;
  let size = innerProduct(residual, residual);
  for (let step = 0; step < CG_STEPS && size > 0; step++) {
    const image = await problem.normal(direction);
    const curvature = innerProduct(direction, image);
    if (!(curvature > 0)) break;
    const length = size / curvature;
    x = combine(x, length, direction);
    residual = combine(residual, -length, image);
    const next = innerProduct(residual, residual);
    direction = combine(residual, next / size, direction);
    size = next;
  }
  return x;
}

/** Inner core `k` improved, the others fixed. */
async function improvedCore(
  chain: Chain,
  k: number,
  stages: readonly Stage[],
  modes: readonly number[],
  throughGram: Multiplier,
  products: MatrixProducts,
): Promise<Matrix> {
  const [first] = stages;
  const core = chain.inner[k];
  const stage = stages[k];
  if (!first || !core || !stage) return matrix(0, 0);
  let before = matrix(1, 1, Float64Array.of(1));
  for (const each of chain.inner.slice(0, k)) {
    const rows = matrix(before.cols, each.data.length / before.cols, each.data);
    const product = before.rows === 1 ? rows : await products.multiply(before, rows, {});
    before = matrix(product.data.length / each.cols, each.cols, product.data);
  }
  let after = chain.tail;
  for (const each of chain.inner.slice(k + 1).reverse()) {
    const product = await products.multiply(each, after, {});
    const rank = each.rows / (modes[chain.inner.indexOf(each)] ?? 1);
    after = matrix(rank, product.data.length / rank, product.data);
  }
  const right = sizeOf(modes.slice(k + 1, -1));
  const { left } = marginals(stage.gram, right * lastSpatial(modes, first));
  const problem = new CoreProblem(
    first.gram.rows,
    throughGram,
    before,
    after,
    await cholesky(left, products),
    products,
  );
  const cross = chain.outputs ? await products.multiply(first.cross, chain.outputs, {}) : first.cross;
  const start = await products.multiply(problem.factor.lower, core, { transposeA: true });
  return backSolve(problem.factor, await conjugateGradients(problem, await problem.pull(cross), start), products);
}

/** Size of the spatial axes that share the last mode with the outputs. */
function lastSpatial(modes: readonly number[], { cross }: Stage): number {
  return (modes.at(-1) ?? 1) / cross.cols;
}

/**
 * Fits cores of these ranks.
 *
 * @param stage statistics of the whole patch and the map; outputs whitened (times M^½).
 * @param modes sizes of the groups of axes; their product is n·O.
 * @param ranks one less than modes, each at most what the unfoldings allow.
 * @returns cores `[r(k−1), n(k), r(k)]` in order; the last reaches the whitened outputs.
 */
export async function fitChain(
  stage: Stage,
  modes: readonly number[],
  ranks: readonly number[],
  options: FitOptions,
  products: MatrixProducts,
): Promise<FittedChain> {
  const outputs = stage.cross.cols;
  const mass = innerProduct(stage.target, stage.cross);
  const exact = endsInOutputs(modes, outputs);
  const innerRanks = exact ? ranks.slice(0, -1) : ranks;
  const last = exact ? ranks.at(-1) : undefined;
  const stages: Stage[] = [stage];
  const inner: Matrix[] = [];
  let right = stage.gram.rows;
  let current = stage;
  for (const [k, rank] of innerRanks.entries()) {
    right /= modes[k] ?? 1;
    const core = options.start?.[k] ?? (await innerCore(current, right, rank, products)).core;
    inner.push(core);
    current = await throughCore(current, core, products);
    stages.push(current);
  }
  let best = await finish(inner, current, mass, last, products);
  if (!options.sweeps || inner.length === 0) return fittedChain(best, modes, mass);
  // Noise of the samples is far above what float32 rounds away, and directions are found anew from the residual.
  const throughGram = products.multiplier(stage.gram);
  for (let sweep = 0; sweep < options.sweeps; sweep++) {
    let chain = best;
    const seen: Stage[] = [stage];
    for (const k of range(inner.length)) {
      const improved = await improvedCore(chain, k, seen, modes, throughGram, products);
      const before = seen[k];
      if (!before) break;
      seen.push(await throughCore(before, improved, products));
      const cores = chain.inner.map((core, j) => (j === k ? improved : core));
      let end = seen[k + 1] ?? before;
      for (const core of cores.slice(k + 1)) end = await throughCore(end, core, products);
      chain = await finish(cores, end, mass, last, products);
    }
    if (!(chain.loss < best.loss)) break;
    const enough = best.loss - chain.loss < ENOUGH * best.loss;
    best = chain;
    if (enough) break;
  }
  return fittedChain(best, modes, mass);
}

function fittedChain(chain: Chain, modes: readonly number[], mass: number): FittedChain {
  return { ...asTrain(chain, modes), loss: chain.loss, mass, inner: chain.inner };
}

function asTrain({ inner, tail, outputs }: Chain, modes: readonly number[]): TensorTrain {
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
  return { modes: [...modes], bonds: cores.slice(0, -1).map(({ dims }) => dims[2]), cores };
}
