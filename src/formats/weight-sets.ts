/* Flat names of tensors that hold several sets of weights (`model.…`, `ema.…`), or one under a needless prefix. */

import { formatSuggestion, UsageError } from '../errors.js';

/** Weights that a file holds, by the key that chooses them. */
export interface WeightSet {
  readonly key: string;
  /** Number of tensors. */
  readonly tensors: number;
}

/** What chooses among the weights of a file. */
export interface WeightChoice<T> {
  readonly tensors: ReadonlyMap<string, T>;
  /** Prefix that all names had and have lost; empty when there was none. */
  readonly prefix: string;
  /** Other weights under prefixes of their own. */
  readonly others: readonly WeightSet[];
  /** Names that are not among the weights, such as the counter of averaged models. */
  readonly ignored: readonly string[];
}

/** What DataParallel, `torch.compile` and Lightning put before every name. */
const NEEDLESS = ['module.', '_orig_mod.', 'model.'] as const;

/** Names of weights that were averaged over the steps of a training. */
const AVERAGED = /(^|[_.-])(ema|swa|avg|averaged?|shadow)([_.-]|$)|^ema[A-Z]|[a-z]E[mM][aA]([A-Z_]|$)/;

/** Whether a key names an averaged copy of other weights. */
export function isAveraged(key: string): boolean {
  return AVERAGED.test(key);
}

/** The tensors by the first part of their names; those of one part stand under an empty one. */
export function groupByPrefix<T>(tensors: ReadonlyMap<string, T>): Map<string, Map<string, T>> {
  const groups = new Map<string, Map<string, T>>();
  for (const [name, tensor] of tensors) {
    const dot = name.indexOf('.');
    const key = dot < 0 ? '' : name.slice(0, dot);
    const group = groups.get(key) ?? new Map<string, T>();
    group.set(name.slice(dot + 1), tensor);
    groups.set(key, group);
  }
  return groups;
}

/**
 * Chooses among tensors whose names begin with the names of sets: not the averaged ones where there are others. Takes
 * off prefixes that all names have.
 *
 * @param key the set to choose: a prefix of names, without the dot. `undefined` where no name has it.
 */
export function chooseByPrefix<T extends { readonly dims: readonly number[] }>(
  tensors: ReadonlyMap<string, T>,
  key: string | undefined,
): WeightChoice<T> | undefined {
  if (key !== undefined) {
    const found = [...tensors].filter(([name]) => name.startsWith(`${key}.`));
    if (found.length === 0) return undefined;
    const chosen = new Map(found.map(([name, tensor]) => [name.slice(key.length + 1), tensor] as const));
    const { tensors: stripped, prefix, ignored } = strip(chosen);
    return { tensors: stripped, prefix: `${key}.${prefix}`, others: [], ignored };
  }
  const groups = groupByPrefix(tensors);
  const averaged = [...groups.keys()].filter((group) => isAveraged(group));
  const hasOthers = [...groups].some(([group, { size }]) => group !== '' && !isAveraged(group) && size > 0);
  const others = hasOthers ? averaged.map((group) => ({ key: group, tensors: groups.get(group)?.size ?? NaN })) : [];
  const left = new Set(others.map((other) => other.key));
  const kept = [...tensors].filter(([name]) => !left.has(name.slice(0, Math.max(0, name.indexOf('.')))));
  return { ...strip(new Map(kept)), others };
}

/** The tensors without the needless prefixes that all names have. Counters may stand alongside. */
function strip<T extends { readonly dims: readonly number[] }>(all: ReadonlyMap<string, T>) {
  let tensors = all;
  let prefix = '';
  const ignored: string[] = [];
  for (;;) {
    const isCounter = ([name, { dims }]: readonly [string, T]) => !name.includes('.') && dims.length === 0;
    const named = [...tensors].filter((entry) => !isCounter(entry));
    const found = NEEDLESS.find((start) => named.length > 0 && named.every(([name]) => name.startsWith(start)));
    if (found === undefined) return { tensors, prefix, ignored };
    ignored.push(...[...tensors].filter(isCounter).map(([name]) => prefix + name));
    tensors = new Map(named.map(([name, tensor]) => [name.slice(found.length), tensor] as const));
    prefix += found;
  }
}

/** Sets of weights are listed up to this number in messages. */
const LISTED = 12;

/** Keys are shown up to this number of characters. */
const LONGEST_KEY = 100;

/** A key out of a file for a message: quoted, escaped, of bounded length. */
function formatKey(key: string): string {
  return JSON.stringify(key.length > LONGEST_KEY ? `${key.slice(0, LONGEST_KEY)}…` : key);
}

/** Sets of weights in words: `"model" (8 tensors), "ema" (8 tensors)`. */
export function describeSets(sets: readonly WeightSet[]): string {
  const some = sets.slice(0, LISTED).map(({ key, tensors }) => `${formatKey(key)} (${formatTensorCount(tensors)})`);
  return some.join(', ') + (sets.length > LISTED ? ', …' : '');
}

/** The sentence about the weights of a file that were not chosen; `undefined` where there are none. */
export function noteOthers(chosen: string, others: readonly WeightSet[]): string | undefined {
  const [first] = others;
  if (first === undefined) return undefined;
  const isOrAre = others.length === 1 ? 'is' : 'are';
  return (
    `The weights are ${chosen}. The file also holds ${describeSets(others)}, which ${isOrAre} not used: ` +
    `choose with \`weights: ${/^[\w.-]{1,100}$/.test(first.key) ? `'${first.key}'` : formatKey(first.key)}\`.`
  );
}

function formatTensorCount(tensors: number): string {
  return tensors === 1 ? '1 tensor' : `${tensors} tensors`;
}

/** The error for a key that holds no weights, with those that do. */
export function makeUnknownKeyError(
  key: string,
  known: readonly WeightSet[],
  fail: (problem: string) => Error,
): UsageError {
  // The nearest is looked for letter by letter, and keys come out of the file.
  const keys = known.map((set) => set.key).filter(({ length }) => length <= LONGEST_KEY);
  const list =
    known.length === 0 ? 'It holds one set of weights: leave `weights` out' : `It has ${describeSets(known)}`;
  const problem = `it holds no weights under ${formatKey(key)} (\`weights\`).${formatSuggestion(key, keys)} ${list}.`;
  return new UsageError(fail(problem).message, { option: 'weights' });
}
