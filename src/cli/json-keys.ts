/** Names of keys in the documents of `--json` that have an older name, too, until version 1.0. */

/** Keys that the command line adds, by the keys that results have. */
const keyTwins: Readonly<Record<string, string>> = {
  multAdds: 'macs',
  bonds: 'ranks',
};

/** How tensor trains run, by what results say. */
const executions: Readonly<Record<string, string>> = { rebuilt: 'reconstructed', factored: 'factorised' };

function* listEntries(object: object): Generator<[string, unknown]> {
  const names = new Map([...Object.entries(keyTwins), ...Object.entries(keyTwins).map(([a, b]) => [b, a] as const)]);
  for (const [key, value] of Object.entries(object)) {
    const isExecution = key === 'execution' && typeof value === 'string' && Object.hasOwn(executions, value);
    const shown: unknown = isExecution ? executions[value] : withOldKeys(value);
    yield [key, shown];
    const twin = names.get(key);
    if (twin !== undefined && !Object.hasOwn(object, twin)) yield [twin, shown];
  }
}

/**
 * Returns a result with each renamed key under both names, `macs` and `multAdds`, `ranks` and `bonds`, whichever of them
 * it has. Typed arrays and objects of classes stay as they are.
 */
export function withOldKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withOldKeys);
  if (value === null || typeof value !== 'object' || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(listEntries(value));
}
