/*
 * Compares the latency of two models from interleaved runs (x, y), one of each in turn:
 *   ratio = median(y) / median(x)
 * with a 95 % percentile bootstrap over the pairs (Efron, Tibshirani 1993, chapter 13): a pair is resampled as a whole, so
 * that a drift of the machine, which slows both of its runs, does not widen the interval.
 */
import { ShiboriError } from '../errors.js';
import { seeded } from '../tensor/random.js';

/** Resamples of the bootstrap: the ends of the interval are its 25th smallest and 25th largest of 1,000. */
const RESAMPLES = 1000;
/** Share of the resamples that is left out at each end: 95 % remain. */
const TAIL = 0.025;
/** Key of the stream that draws the resamples: the same runs always give the same interval. */
const BOOTSTRAP_SEED = 95;

/** How the latency of two models compares. */
export interface LatencyRatio {
  /** Medians of the runs, in their unit. */
  readonly before: number;
  readonly after: number;
  /** `after / before`: below 1 the second is faster. */
  readonly ratio: number;
  /** 95 % confidence interval of the ratio. */
  readonly interval: readonly [low: number, high: number];
}

/** Finds the middle value; the mean of the two middle ones for an even count, NaN for none. */
export function median(values: ArrayLike<number>): number {
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/**
 * Compares latencies by the ratio of their medians and its 95 % confidence interval.
 *
 * @param pairs runs of both models, each pair made one right after the other; at least one.
 */
export function compareLatencies(pairs: readonly (readonly [before: number, after: number])[]): LatencyRatio {
  if (pairs.length === 0)
    throw new ShiboriError('Comparing latencies: expected at least one run of each model, found none.', {
      code: 'invalid-data',
    });
  const before = median(pairs.map(([x]) => x));
  const after = median(pairs.map(([, y]) => y));
  const count = pairs.length;
  const random = seeded(BOOTSTRAP_SEED, count);
  const x = new Float64Array(count);
  const y = new Float64Array(count);
  const ratios = new Float64Array(RESAMPLES);
  for (let k = 0; k < RESAMPLES; k++) {
    for (let i = 0; i < count; i++) {
      const [a, b] = pairs[random.integer(count)] ?? [Number.NaN, Number.NaN];
      x[i] = a;
      y[i] = b;
    }
    ratios[k] = median(y) / median(x);
  }
  ratios.sort();
  const cut = RESAMPLES * TAIL;
  const [low = Number.NaN, high = Number.NaN] = [ratios[cut - 1], ratios[RESAMPLES - cut]];
  // With very few runs the resamples may all lie on one side of the ratio that was measured.
  const ratio = after / before;
  return { before, after, ratio, interval: [Math.min(low, ratio), Math.max(high, ratio)] };
}

/** Whether two models run at the same speed as far as was measured: the interval of their ratio contains 1. */
export const isSameSpeed = ([low, high]: LatencyRatio['interval']): boolean => low <= 1 && high >= 1;
