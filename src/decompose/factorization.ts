/* Whole numbers as ordered products of a given number of factors, chosen by a distance on a logarithmic scale. */
import { ShiboriError } from '../errors.js';

function listDivisors(size: number): number[] {
  const small: number[] = [];
  const large: number[] = [];
  for (let divisor = 1; divisor * divisor <= size; divisor++) {
    if (size % divisor !== 0) continue;
    small.push(divisor);
    if (divisor * divisor !== size) large.unshift(size / divisor);
  }
  return [...small, ...large];
}

/** The ordered factorisation of `size` whose factors are nearest to `targets`, by the sum of squared log ratios. */
function findNearestFactorization(size: number, targets: readonly number[]): number[] {
  const divisors = listDivisors(size);
  const best = new Map<string, { cost: number; factors: number[] }>();
  const search = (remaining: number, k: number): { cost: number; factors: number[] } => {
    const target = targets[k] ?? 1;
    const computeCost = (factor: number): number => Math.log(factor / target) ** 2;
    if (k === targets.length - 1) return { cost: computeCost(remaining), factors: [remaining] };
    const key = `${remaining},${k}`;
    const known = best.get(key);
    if (known) return known;
    let found = { cost: Number.POSITIVE_INFINITY, factors: [remaining] };
    for (const divisor of divisors) {
      if (divisor > remaining) break;
      if (remaining % divisor !== 0) continue;
      const tail = search(remaining / divisor, k + 1);
      const cost = computeCost(divisor) + tail.cost;
      if (cost < found.cost) found = { cost, factors: [divisor, ...tail.factors] };
    }
    best.set(key, found);
    return found;
  };
  return search(size, 0).factors;
}

function expectCount(what: string, value: number): void {
  if (Number.isSafeInteger(value) && value >= 1) return;
  throw new ShiboriError(`Factorisation: the ${what} must be a positive integer, found ${value}.`, {
    code: 'unsupported-model',
  });
}

/**
 * `size` as a product of `count` factors, as equal as its divisors allow, ascending; 1s where it has too few.
 *
 * @example suggestModes(512, 2) // [16, 32]
 * @throws ShiboriError when `size` or `count` is not a positive integer.
 */
export function suggestModes(size: number, count: number): number[] {
  expectCount('size', size);
  expectCount('number of modes', count);
  return findNearestFactorization(size, new Array<number>(count).fill(size ** (1 / count))).sort((a, b) => a - b);
}

/**
 * The factorisation of `size` into as many factors as `modes` has that is nearest to it, in the same order.
 *
 * @example findNearestModes(25088, [112, 225]) // [112, 224]
 */
export function findNearestModes(size: number, modes: readonly number[]): number[] {
  expectCount('size', size);
  expectCount('number of modes', modes.length);
  return findNearestFactorization(
    size,
    modes.map((mode) => Math.max(1, mode)),
  );
}
