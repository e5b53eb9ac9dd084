import { type Fail, type PickleValue, quote } from './pickle-values.js';

/** PyTorch allows 64 axes at most; no model comes near. */
const MOST_AXES = 64;

/** A list of integers of a pickle: the size of a tensor, its strides. Throws for anything else. */
export function parseSizes(value: PickleValue | undefined, what: string, fail: Fail): number[] {
  if (!Array.isArray(value)) throw fail(`${what} in it is not a list of integers.`);
  if (value.length > MOST_AXES) throw fail(`${what} in it has ${value.length} axes, more than ${MOST_AXES}.`);
  return value.map((entry) => {
    if (typeof entry === 'number' && Number.isSafeInteger(entry) && entry >= 0) return entry;
    throw fail(
      `${what} in it holds ${typeof entry === 'bigint' ? entry : quote(String(entry))}, no integer from 0 to 2^53.`,
    );
  });
}
