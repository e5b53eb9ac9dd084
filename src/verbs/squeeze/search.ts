/** Looking for the smallest size that holds a promise, when every look costs a whole squeeze. */

/** A size that was tried. `result` is `undefined` where nothing can be made that small. */
export interface Trial<T> {
  readonly amount: number;
  readonly result: T | undefined;
  readonly holds: boolean;
}

/** Sizes this near to each other need not be told apart. */
const NEAR = 1.02;

/**
 * Bisection in the logarithm of the size: the smallest amount that was seen to hold, and all that were tried. What holds
 * was measured, never inferred.
 *
 * @param below an amount that is taken not to hold.
 * @param above an amount that is taken to hold, without looking.
 * @param looks how many amounts are tried at the most.
 */
export async function smallestHolding<T>(
  below: number,
  above: number,
  looks: number,
  attempt: (amount: number) => Promise<T | undefined>,
  holds: (result: T) => boolean,
): Promise<{ readonly best: Trial<T> | undefined; readonly trials: readonly Trial<T>[] }> {
  let [low, high] = [below, above];
  let best: Trial<T> | undefined;
  const trials: Trial<T>[] = [];
  while (trials.length < looks && high / low > NEAR) {
    const amount = Math.round(Math.sqrt(low * high));
    const result = await attempt(amount);
    const trial = { amount, result, holds: result !== undefined && holds(result) };
    trials.push(trial);
    if (trial.holds) {
      best = trial;
      high = amount;
    } else low = amount;
  }
  return { best, trials };
}
