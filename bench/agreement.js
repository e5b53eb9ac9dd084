/** Both sides must compute the same, or their times mean nothing. */

/** Largest difference of log-probabilities. float32 sums of 25,088 products in another order differ by 1e-5 or so. */
export const OUTPUT_TOLERANCE = 1e-4;
/** Largest difference of Grad-CAM maps, which lie in 0 … 1. */
export const MAP_TOLERANCE = 1e-3;
/**
 * Frobenius norm of the difference, relative: rounding turns a ReLU or a maximum over here and there, and with it one
 * term of a gradient that sums thousands. On these numbers PyTorch's float32 gradients are up to 4.6e-3 away from its
 * float64 ones, and ours up to 6.8e-3.
 */
export const GRADIENT_TOLERANCE = 1e-2;
/** Relative, of the loss, running statistics and approximation errors: means of numbers that agree in 5 digits. */
export const MEAN_TOLERANCE = 1e-4;
/** Largest difference of parameters after an update from the same gradients: two roundings of float32 below 1. */
export const UPDATE_TOLERANCE = 2e-7;

export function largestDifference(a, b) {
  expectSameSize(a, b);
  let largest = 0;
  // Math.max keeps a NaN, which then is within no tolerance.
  for (let i = 0; i < a.length; i++) largest = Math.max(largest, Math.abs(a[i] - b[i]));
  return largest;
}

/** ‖a − b‖ / ‖b‖. */
export function relativeDistance(a, b) {
  expectSameSize(a, b);
  let [difference, norm] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    difference += (a[i] - b[i]) ** 2;
    norm += b[i] ** 2;
  }
  return Math.sqrt(difference / (norm || 1));
}

function expectSameSize(a, b) {
  if (a?.length !== b?.length) throw new Error(`The results have ${a?.length} and ${b?.length} elements.`);
}

/** Throws unless the difference is within the tolerance; returns it. */
export function agree(what, difference, tolerance) {
  if (difference <= tolerance) return difference;
  throw new Error(
    `${what}: Shibori and PyTorch disagree by ${difference.toPrecision(3)}, at most ${tolerance} is due.`,
  );
}
