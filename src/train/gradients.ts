/*
 * One pass over a gradient tells whether it is finite and gives its norm: squares of float32 numbers never overflow a
 * double, so their sum is finite exactly where all numbers are.
 */

/** Sum of the squares, in double; not finite where any number is not. */
export function computeSquaredNorm(values: Float32Array): number {
  // Four sums, so that none waits for the one before.
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  const count = values.length;
  const whole = count - (count % 4);
  for (let i = 0; i < whole; i += 4) {
    const w = values[i] as number;
    const x = values[i + 1] as number;
    const y = values[i + 2] as number;
    const z = values[i + 3] as number;
    a += w * w;
    b += x * x;
    c += y * y;
    d += z * z;
  }
  for (let i = whole; i < count; i++) a += (values[i] as number) ** 2;
  return a + b + c + d;
}

/** Whether all numbers are finite. */
export function areFinite(values: Float32Array): boolean {
  return Number.isFinite(computeSquaredNorm(values));
}

/** Clamps every number to ±`limit`, in place (`torch.nn.utils.clip_grad_value_`); returns the sum of the new squares. */
export function clampAndSumSquares(values: Float32Array, limit: number): number {
  const count = values.length;
  const bound = Math.fround(limit);
  let sum = 0;
  for (let i = 0; i < count; i++) {
    const value = Math.max(-bound, Math.min(bound, values[i] as number));
    values[i] = value;
    sum += value * value;
  }
  return sum;
}

/** The factor that brings a norm down to `limit`, as `torch.nn.utils.clip_grad_norm_` computes it. */
export function computeNormScale(norm: number, limit: number): number {
  return Math.min(1, limit / (norm + 1e-6));
}

/** `target ← target + share · values`, or `share · values` where it is the first. */
export function addWeighted(target: Float32Array, values: Float32Array, share: number, isFirst: boolean): void {
  const count = target.length;
  if (isFirst) target.fill(0);
  for (let i = 0; i < count; i++) target[i] = (target[i] as number) + share * (values[i] as number);
}

/** `average ← average + (1 − decay) (values − average)` */
export function addToAverage(average: Float32Array, values: Float32Array, decay: number): void {
  const count = average.length;
  const fresh = 1 - decay;
  for (let i = 0; i < count; i++) {
    const old = average[i] as number;
    average[i] = old + fresh * ((values[i] as number) - old);
  }
}
