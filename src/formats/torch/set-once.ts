import { type Fail, type PickleValue, quote } from './pickle-values.js';

/** Sets a key of a dictionary. Throws for a text that it has already: Python never writes one twice. */
export function setOnce(target: Map<PickleValue, PickleValue>, key: PickleValue, value: PickleValue, fail: Fail): void {
  if (typeof key === 'string' && target.has(key)) {
    throw fail(
      `a dictionary in its pickle has the key ${quote(key)} twice, which Python never writes, so it is unclear which of ` +
        'the two counts. Do not trust it; save it again where it was made.',
    );
  }
  target.set(key, value);
}
