/*
 * Draws some images of a data set, stratified by class: the same share of every class, in the order of the data set.
 */
import { seeded } from '../tensor/random.js';

/**
 * Draws `count` of the items with these labels, by the seed. Every class has at least one where `count` allows it, and
 * beyond that its share, rounded up or down; fewer items than classes are spread over the classes.
 *
 * Systematic sampling: classes one after the other, each in random order, and every so-manieth item from a random start.
 *
 * @returns positions in increasing order; all of them where there are no more than `count`.
 */
export function sampleByClass(labels: ArrayLike<number>, count: number, seed: number): number[] {
  const total = labels.length;
  const random = seeded(seed, total);
  const classes = new Map<number, number[]>();
  for (const position of random.permutation(total)) {
    const label = labels[position] as number;
    const members = classes.get(label);
    if (members) members.push(position);
    else classes.set(label, [position]);
  }
  if (count >= total) return Array.from({ length: total }, (_, position) => position);
  const strata = [...classes].sort(([a], [b]) => a - b).map(([, members]) => members);
  const first = count >= strata.length ? strata.map((members) => members.shift() as number) : [];
  const rest = strata.flat();
  const wanted = count - first.length;
  const start = random.uniform();
  const drawn = Array.from(
    { length: wanted },
    (_, k) => rest[Math.floor(((k + start) * rest.length) / wanted)] as number,
  );
  return [...first, ...drawn].sort((a, b) => a - b);
}
