/** A name, and the reason that applies to it. */
export interface NameWithReason {
  readonly name: string;
  readonly reason: string;
}

/** Names that are printed before the rest is counted. */
const NAMES_SHOWN = 6;

/** `a, b, c and 12 more`. */
export function listNames(names: readonly string[], shown = NAMES_SHOWN): string {
  if (names.length <= shown + 1) return names.join(', ');
  return `${names.slice(0, shown).join(', ')} and ${names.length - shown} more`;
}

/** Groups names by their reason, in the order in which reasons first come. */
export function groupByReason(entries: Iterable<NameWithReason>): ReadonlyMap<string, readonly string[]> {
  const groups = new Map<string, string[]>();
  for (const { name, reason } of entries) {
    const group = groups.get(reason);
    if (group) group.push(name);
    else groups.set(reason, [name]);
  }
  return groups;
}
