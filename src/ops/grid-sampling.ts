/**
 * GridSample: Y[n, c, p] = sum over taps k of w_k(t) X[n, c, i_k], with x the position of p in pixels along an axis,
 * t = x - floor(x) and taps i_k = floor(x) + k; for images the taps and weights of both axes are multiplied. Sources: the
 * operator's text in the ONNX specification, operator set 16; cubic kernel: Keys 1981, with a = -0.75 as in PyTorch.
 */

/** One neighbour of a position along an axis. */
export interface Tap {
  /** Pixels after the first one. */
  readonly offset: number;
  /** Its weight as a polynomial of t: the coefficients of 1, t, t^2 and t^3. */
  readonly weight: readonly [number, number, number, number];
}

const CUBIC_A = -0.75;

const tapsByMode: Readonly<Record<string, readonly Tap[]>> = {
  nearest: [{ offset: 0, weight: [1, 0, 0, 0] }],
  bilinear: [
    { offset: 0, weight: [1, -1, 0, 0] },
    { offset: 1, weight: [0, 1, 0, 0] },
  ],
  bicubic: [
    { offset: -1, weight: [0, CUBIC_A, -2 * CUBIC_A, CUBIC_A] },
    { offset: 0, weight: [1, 0, -(CUBIC_A + 3), CUBIC_A + 2] },
    { offset: 1, weight: [0, -CUBIC_A, 2 * CUBIC_A + 3, -(CUBIC_A + 2)] },
    { offset: 2, weight: [0, 0, CUBIC_A, -CUBIC_A] },
  ],
};

/** The taps of a mode along one axis; `undefined` for a mode that does not exist. */
export function findSamplingTaps(mode: string): readonly Tap[] | undefined {
  return Object.hasOwn(tapsByMode, mode) ? tapsByMode[mode] : undefined;
}

/** The modes of GridSample in operator set 16. */
export const samplingModes: readonly string[] = Object.keys(tapsByMode);

/** What lies beyond the border: nothing, the border itself, or the image reflected. */
export const samplingPaddings: readonly string[] = ['zeros', 'border', 'reflection'];

/** Pixels = scale · position + shift, for positions from -1 to 1. */
export function computePixelScale(size: number, aligned: boolean): { readonly scale: number; readonly shift: number } {
  return { scale: (aligned ? size - 1 : size) / 2, shift: (size - 1) / 2 };
}

/** After how many pixels a reflected image repeats, and the sum of a pixel and its reflection beyond the end. */
export function computeReflection(size: number, aligned: boolean): { readonly period: number; readonly sum: number } {
  // Corners aligned: around the middle of the last pixel; otherwise around its edge.
  return aligned
    ? { period: Math.max(1, 2 * (size - 1)), sum: 2 * (size - 1) }
    : { period: 2 * size, sum: 2 * size - 1 };
}

/** The pixel that stands for pixel `i`, which may lie beyond the border; `undefined` for none. */
export function findPaddedPixel(padding: string, i: number, size: number, aligned: boolean): number | undefined {
  if (padding === 'zeros') return i >= 0 && i < size ? i : undefined;
  if (padding === 'border') return Math.min(Math.max(i, 0), size - 1);
  const { period, sum } = computeReflection(size, aligned);
  const inside = i - period * Math.floor(i / period);
  return inside < size ? inside : sum - inside;
}
