/** New values by old ones, by the key that they stand under. */
const renamedValues: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  head: { study: 'compact' },
  execution: { factored: 'factorised', rebuilt: 'reconstructed' },
};

function* listOldNames(value: unknown): Generator<string> {
  if (Array.isArray(value)) for (const each of value) yield* listOldNames(each);
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return;
  for (const [key, inner] of Object.entries(value)) {
    // A list of numbers: a layer may have this name, too.
    if (key === 'bonds' && Array.isArray(inner)) yield '"bonds" is called "ranks"';
    const name = typeof inner === 'string' ? renamedValues[key]?.[inner] : undefined;
    if (name !== undefined) yield `"${key}: ${inner}" is called "${key}: ${name}"`;
    yield* listOldNames(inner);
  }
}

/** Describes the old names that a plan or recipe uses, each once: `"bonds" is called "ranks" now; …`. */
export function describeOldNames(document: unknown, file: string): string[] {
  return [...new Set(listOldNames(document))].map(
    (renaming) => `${file}: ${renaming} now; the old name will be removed in version 1.0`,
  );
}
