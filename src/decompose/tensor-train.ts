/*
 * A(i1, …, id) = G1(i1) G2(i2) … Gd(id), Gk(ik) an r(k−1) × r(k) matrix, r(0) = r(d) = 1.
 * TT-SVD, left to right: unfold to [r(k−1) n(k), n(k+1)…n(d)], truncate, keep the orthonormal left factor as core k, continue
 * with the rest. Then ‖A − TT‖² ≤ sum over the ranks of the discarded singular values squared (theorem 2.2).
 * Source: Oseledets 2011, algorithm 1 (doi:10.1137/090752286).
 */
import { ShiboriError } from '../errors.js';
import { computeSumOfSquares, identity, isIdentity, type Matrix, matrix } from '../linalg/matrix.js';
import type { MatrixProducts } from '../linalg/products.js';
import { splitOrthogonally } from '../linalg/truncated-svd.js';
import { countElements } from '../tensor/dims.js';

/** One core: `dims` `[r(k−1), n(k), r(k)]`, row-major. */
export interface Core {
  readonly dims: readonly [before: number, mode: number, after: number];
  readonly data: Float64Array;
}

/** A tensor train of d cores. */
export interface TensorTrain {
  /** n(1) … n(d). */
  readonly modes: readonly number[];
  /** The inner ranks r(1) … r(d−1). */
  readonly ranks: readonly number[];
  readonly cores: readonly Core[];
}

/** A ranks that was larger than its unfolding allows. */
export interface ClippedRank {
  /** Position k of r(k), from 1. */
  readonly bond: number;
  readonly requested: number;
  readonly kept: number;
}

/** A tensor train with what was lost on the way to it. */
export interface TruncatedTrain extends TensorTrain {
  /** Frobenius norm of the tensor. */
  readonly norm: number;
  /** Frobenius norm of tensor − train, measured by rebuilding the tensor; exactly 0 at full rank. */
  readonly absoluteError: number;
  /** `error / norm`, 0 for a zero tensor. */
  readonly relativeError: number;
  /** What theory promises for `error`: root of the summed squares of all discarded singular values, plus rounding. */
  readonly absoluteBound: number;
  readonly clipped: readonly ClippedRank[];
}

/**
 * What rounding adds to the squared bound at each truncation, as a share of the squared norm: singular values come
 * from Gram matrices, whose entries are squares. A bound is thus at least 1e-7 of the norm.
 */
const GRAM_ROUNDING = 64 * Number.EPSILON;

/** Elements that are reconstructed at a time when the error is measured (32 MiB). */
const RECONSTRUCTION_BLOCK = 2 ** 22;

/**
 * The ranks cut to what the unfoldings allow, r(k) ≤ min(r(k−1) n(k), n(k+1)…n(d)), and which were cut.
 * Without `bonds`: full rank.
 *
 * @throws ShiboriError when a mode or a rank is not a positive integer or the number of ranks is not one less than d.
 */
export function clipRanks(
  modes: readonly number[],
  ranks?: readonly number[],
): { bonds: number[]; clipped: ClippedRank[] } {
  expectCounts('modes', modes);
  if (modes.length === 0)
    throw new ShiboriError('A tensor train needs at least one mode, found none.', { code: 'unsupported-model' });
  if (ranks) expectCounts('bond dimensions', ranks);
  if (ranks && ranks.length !== modes.length - 1) {
    throw new ShiboriError(
      `A tensor train over ${modes.length} modes [${modes.join(', ')}] has ${modes.length - 1} inner bond dimensions, ` +
        `found ${ranks.length}: [${ranks.join(', ')}].`,
      { code: 'unsupported-model' },
    );
  }
  const fitted: number[] = [];
  const clipped: ClippedRank[] = [];
  let before = 1;
  for (let k = 0; k < modes.length - 1; k++) {
    const most = Math.min(before * (modes[k] ?? 1), countElements(modes.slice(k + 1)));
    const requested = ranks?.[k] ?? most;
    before = Math.min(requested, most);
    fitted.push(before);
    if (requested > before) clipped.push({ bond: k + 1, requested, kept: before });
  }
  return { bonds: fitted, clipped };
}

/** Throws unless all are positive integers. */
function expectCounts(what: string, counts: readonly number[]): void {
  if (counts.every((count) => Number.isSafeInteger(count) && count >= 1)) return;
  throw new ShiboriError(`Tensor train: expected ${what} that are positive integers, found [${counts.join(', ')}].`, {
    code: 'unsupported-model',
  });
}

/**
 * The tensor train of a row-major tensor, its cores left-orthonormal except the last. Ranks larger than possible are
 * clipped and reported; a rank that is not truncated costs nothing (its core is an identity, the rest is reshaped).
 *
 * @param values the `n(1)…n(d)` elements; neither kept nor changed.
 * @param ranks r(1) … r(d−1). `undefined`: full rank.
 * @throws ShiboriError when sizes do not fit or the tensor holds NaN or infinite values.
 */
export async function ttSvd(
  values: Float32Array | Float64Array,
  modes: readonly number[],
  ranks: readonly number[] | undefined,
  products: MatrixProducts,
): Promise<TruncatedTrain> {
  const fitted = clipRanks(modes, ranks);
  if (values.length !== countElements(modes)) {
    throw new ShiboriError(
      `Tensor train: modes [${modes.join(', ')}] make ${countElements(modes)} elements, found a tensor of ${values.length}.`,
      { code: 'unsupported-model' },
    );
  }
  const source = new Float64Array(values);
  const norm = Math.sqrt(computeSumOfSquares(source));
  if (!Number.isFinite(norm)) {
    throw new ShiboriError('Tensor train: the tensor holds NaN or infinite values. Check the file it comes from.', {
      code: 'unsupported-model',
    });
  }

  const cores: Core[] = [];
  let rest: Float64Array = source;
  let squaredBound = 0;
  let exact = true;
  let before = 1;
  for (const [k, after] of fitted.bonds.entries()) {
    const mode = modes[k] ?? 1;
    const unfolding = matrix(before * mode, countElements(modes.slice(k + 1)), rest);
    const untouched = findTrivialSplit(unfolding, modes, fitted.bonds, k);
    if (!untouched) {
      exact = false;
      squaredBound += GRAM_ROUNDING * norm * norm;
    }
    const { left, right, discarded } = untouched ?? (await splitOrthogonally(unfolding, { rank: after }, products));
    squaredBound += discarded * discarded;
    cores.push({ dims: [before, mode, after], data: left.data });
    rest = right.data;
    before = after;
  }
  cores.push({ dims: [before, modes.at(-1) ?? 1, 1], data: rest });

  const error = exact ? 0 : await measureDistance(source, cores, products);
  return {
    modes: [...modes],
    ranks: fitted.bonds,
    cores,
    norm,
    absoluteError: error,
    relativeError: norm === 0 ? 0 : error / norm,
    absoluteBound: Math.sqrt(squaredBound),
    clipped: fitted.clipped,
  };
}

/** The trivial factors of unfolding `k` where its rank is full, otherwise `undefined`. */
function findTrivialSplit(
  unfolding: Matrix,
  modes: readonly number[],
  ranks: readonly number[],
  k: number,
): { left: Matrix; right: Matrix; discarded: number } | undefined {
  const { rows, cols } = unfolding;
  if (ranks[k] === rows) return { left: identity(rows), right: unfolding, discarded: 0 };
  // Here the left factor is not orthonormal, so that nothing after it may be truncated either.
  const fullToTheEnd = ranks.every((rank, j) => j < k || rank === countElements(modes.slice(j + 1)));
  return fullToTheEnd ? { left: unfolding, right: identity(cols), discarded: 0 } : undefined;
}

/** Core k as the matrix `[r(k−1) n(k), r(k)]`. */
function unfoldLeft({ dims, data }: Core): Matrix {
  return matrix(dims[0] * dims[1], dims[2], data);
}

/** Cores `first…d` contracted, right to left: `[r(first−1) n(first), …]`, flat, as elements of n(first)…n(d) per row. */
async function contractFrom(cores: readonly Core[], first: number, products: MatrixProducts): Promise<Float64Array> {
  let right: Float64Array = cores.at(-1)?.data ?? new Float64Array([1]);
  for (let k = cores.length - 2; k >= first; k--) {
    const core = cores[k];
    if (!core) continue;
    const a = unfoldLeft(core);
    const b = matrix(a.cols, right.length / a.cols, right);
    if (isIdentity(a)) continue;
    right = isIdentity(b) ? a.data : (await products.multiply(a, b, {})).data;
  }
  return right;
}

/** ‖source − train‖, rebuilding a block of rows at a time. */
async function measureDistance(
  source: Float64Array,
  cores: readonly Core[],
  products: MatrixProducts,
): Promise<number> {
  // Cores that are identities only reshape: the last product starts at the first that is not.
  const first = cores.findIndex((core) => !isIdentity(unfoldLeft(core)));
  const core = cores[first];
  if (!core) return 0;
  const left = unfoldLeft(core);
  const tail = first === cores.length - 1 ? new Float64Array([1]) : await contractFrom(cores, first + 1, products);
  const right = matrix(left.cols, tail.length / left.cols, tail);
  const blockRows = Math.max(1, Math.floor(RECONSTRUCTION_BLOCK / right.cols));
  let squares = 0;
  for (let row = 0; row < left.rows; row += blockRows) {
    const end = Math.min(left.rows, row + blockRows);
    const block = matrix(end - row, left.cols, left.data.subarray(row * left.cols, end * left.cols));
    const difference = (await products.multiply(block, right, {})).data;
    const offset = row * right.cols;
    for (let i = 0; i < difference.length; i++) {
      difference[i] = (difference[i] as number) - (source[offset + i] as number);
    }
    squares += computeSumOfSquares(difference);
  }
  return Math.sqrt(squares);
}

/** The elements of the tensor that a train stands for, row-major over its modes. */
export async function reconstructTensor(train: TensorTrain, products: MatrixProducts): Promise<Float64Array> {
  const values = await contractFrom(train.cores, 0, products);
  return train.cores.some((core) => core.data === values) ? values.slice() : values;
}
