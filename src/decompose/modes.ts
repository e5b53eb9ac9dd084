/*
 * How the weight W [out, in] of a linear layer y = x Wᵀ becomes the tensor that a train stands for.
 *   tt:         modes o1 … op, i1 … iq: the weight reshaped, one core a mode.
 *   tt-matrix:  modes o1·i1, …, od·id: rows and columns paired, one core [r(k−1), o(k), i(k), r(k)] a pair.
 * Source of the second: Novikov, Podoprikhin, Osokin, Vetrov 2015, "Tensorizing Neural Networks" (arXiv:1509.06569).
 * Stored cores drop the outer ranks, which are 1: for tt the first and the last core are matrices.
 */
import { ShiboriError, UsageError } from '../errors.js';
import { countElements, range } from '../tensor/dims.js';
import { findNearestModes } from './factorization.js';

/** Names how the modes of a weight lie in its cores: `tt`, `[out modes…, in modes…]`; `tt-matrix`, pairs `(out(k), in(k))` (arXiv:1509.06569). */
export type TtLayout = 'tt' | 'tt-matrix';

/** The shape of a tensor-train layer: everything about it but its numbers. */
export interface TtShape {
  readonly layout: TtLayout;
  /** Product: the output features. */
  readonly outModes: readonly number[];
  /** Product: the input features. As many as `outModes` for `tt-matrix`. */
  readonly inModes: readonly number[];
  /** Inner ranks r(1) … r(d−1), one less than there are cores. */
  readonly bonds: readonly number[];
}

/** What is asked for: ranks left out mean full rank. */
export interface TtRequest extends Omit<TtShape, 'bonds'> {
  readonly bonds?: readonly number[];
}

/** The modes n(1) … n(d) of the train: one a core. */
export function getTrainModes({ layout, outModes, inModes }: TtRequest): number[] {
  return layout === 'tt' ? [...outModes, ...inModes] : outModes.map((mode, k) => mode * (inModes[k] ?? 1));
}

/**
 * Checks a request against the layer it is for.
 *
 * @param layer name of the layer, for the messages.
 * @throws UsageError that says which list is wrong, what was expected, and a factorisation near to what was asked.
 */
export function checkRequest(layer: string, request: TtRequest, outFeatures: number, inFeatures: number): void {
  checkModes(layer, 'out', request.outModes, outFeatures);
  checkModes(layer, 'in', request.inModes, inFeatures);
  const { layout, outModes, inModes, bonds } = request;
  if (layout === 'tt-matrix' && outModes.length !== inModes.length) {
    throw new UsageError(
      `Layer "${layer}": layout tt-matrix pairs out and in modes and needs as many of each, found ` +
        `${outModes.length} out modes [${outModes.join(', ')}] and ${inModes.length} in modes [${inModes.join(', ')}].`,
    );
  }
  if (!bonds) return;
  const expected = getTrainModes(request).length - 1;
  if (bonds.length !== expected) {
    throw new UsageError(
      `Layer "${layer}": a train of ${expected + 1} cores has ${expected} bond dimensions, ` +
        `found ${bonds.length}: [${bonds.join(', ')}].`,
    );
  }
  if (!bonds.every(isCount)) {
    throw new UsageError(`Layer "${layer}": bond dimensions must be positive integers, found [${bonds.join(', ')}].`);
  }
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 1;
}

function checkModes(layer: string, side: 'out' | 'in', modes: readonly number[], features: number): void {
  const found = `found [${modes.join(', ')}]`;
  if (modes.length === 0) throw new UsageError(`Layer "${layer}": expected at least one ${side} mode, found none.`);
  if (!modes.every(isCount)) {
    throw new UsageError(`Layer "${layer}": ${side} modes must be positive integers, ${found}.`);
  }
  if (countElements(modes) === features) return;
  throw new UsageError(
    `Layer "${layer}": the product of the ${side} modes must be its ${features} ${side === 'in' ? 'input' : 'output'} ` +
      `features, ${found} with product ${countElements(modes)}. Try [${findNearestModes(features, modes).join(', ')}].`,
  );
}

/** Number of cores. */
export function countCores(shape: TtRequest): number {
  return shape.layout === 'tt' ? shape.outModes.length + shape.inModes.length : shape.outModes.length;
}

/** Dimensions of core `k` (from 0) with both ranks: `[r, n, r′]` for tt, `[r, o, i, r′]` for tt-matrix. */
export function getCoreDims(shape: TtShape, k: number): number[] {
  const last = countCores(shape) - 1;
  if (!Number.isInteger(k) || k < 0 || k > last)
    throw new ShiboriError(`Expected a core from 0 to ${last}, found ${k}.`, { code: 'unsupported-model' });
  const before = k === 0 ? 1 : (shape.bonds[k - 1] ?? 1);
  const after = k === last ? 1 : (shape.bonds[k] ?? 1);
  const modes =
    shape.layout === 'tt'
      ? [[...shape.outModes, ...shape.inModes][k] ?? 1]
      : [shape.outModes[k] ?? 1, shape.inModes[k] ?? 1];
  return [before, ...modes, after];
}

/** Dimensions core `k` is stored with: `coreDims` without the outer ranks of 1. The elements are the same. */
export function getStoredCoreDims(shape: TtShape, k: number): number[] {
  const dims = getCoreDims(shape, k);
  return dims.slice(k === 0 ? 1 : 0, k === countCores(shape) - 1 ? -1 : undefined);
}

/** Name of the parameter that stores core `k`: `tt_W0`, `tt_W1`, … */
export function getCoreName(k: number): string {
  return `tt_W${k}`;
}

/** Name of the bias, stored as `[out modes…]`. */
export const BIAS_NAME = 'B';

/**
 * The shape after stored cores, the inverse of `storedShape`. Layout tt-matrix shows in its first core (three axes, or
 * a single core in all).
 *
 * @param dims stored dimensions of the cores, in order.
 * @param outModeCount how many modes are output modes (the number of axes of the bias); needed for layout tt.
 * @throws ShiboriError naming the first core that does not fit its neighbours.
 */
export function readTtShape(dims: readonly (readonly number[])[], outModeCount: number): TtShape {
  const count = dims.length;
  const layout: TtLayout = count === 1 || dims[0]?.length === 3 ? 'tt-matrix' : 'tt';
  const modeAxes = layout === 'tt' ? 1 : 2;
  const full = dims.map((stored, k) => [...(k === 0 ? [1] : []), ...stored, ...(k === count - 1 ? [1] : [])]);
  full.forEach((core, k) => {
    const before = k === 0 ? 1 : full[k - 1]?.at(-1);
    if (core.length === modeAxes + 2 && core[0] === before && core.every(isCount)) return;
    throw new ShiboriError(
      `${getCoreName(k)} of a ${layout} layer: expected ${modeAxes + 2} axes, bonds included, the first of size ${before}, ` +
        `found [${core.join(', ')}]. All cores: ${dims.map((core) => `[${core.join(', ')}]`).join(' ')}.`,
      { code: 'unsupported-model' },
    );
  });
  const modes = full.map((core) => core.slice(1, -1));
  const bonds = full.slice(0, -1).map((core) => core.at(-1) ?? 1);
  if (layout === 'tt-matrix') {
    return { layout, outModes: modes.map(([out = 1]) => out), inModes: modes.map(([, into = 1]) => into), bonds };
  }
  if (count === 0 || !isCount(outModeCount) || outModeCount >= count) {
    throw new ShiboriError(
      `A tt layer of ${count} cores cannot have ${outModeCount} output modes: none is left for the input.`,
      { code: 'unsupported-model' },
    );
  }
  return { layout, outModes: modes.slice(0, outModeCount).flat(), inModes: modes.slice(outModeCount).flat(), bonds };
}

/** Number of weights in all cores, the bias not counted. */
export function countCoreWeights(shape: TtShape): number {
  let count = 0;
  for (const k of range(countCores(shape))) count += countElements(getCoreDims(shape, k));
  return count;
}
