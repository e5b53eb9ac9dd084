/**
 * Picks the worst items so that no class fills the list: the worst one of each class first (of the worst classes where
 * there are more classes than places), then the second worst of each, and so on.
 *
 * @param badness the higher, the worse; not NaN.
 * @returns at most `count` items, the worst first.
 */
export function pickWorst<T>(
  items: readonly T[],
  count: number,
  { group, badness }: { readonly group: (item: T) => string | number; readonly badness: (item: T) => number },
): T[] {
  const worstFirst = (a: T, b: T) => badness(b) - badness(a);
  const groups = new Map<string | number, T[]>();
  for (const item of items) {
    const members = groups.get(group(item));
    if (members) members.push(item);
    else groups.set(group(item), [item]);
  }
  const queues = [...groups.values()].map((members) => members.toSorted(worstFirst));
  const picked: T[] = [];
  for (let round = 0; picked.length < count; round++) {
    const next = queues.flatMap((queue) => queue.slice(round, round + 1)).sort(worstFirst);
    if (next.length === 0) break;
    picked.push(...next.slice(0, count - picked.length));
  }
  return picked.sort(worstFirst);
}
