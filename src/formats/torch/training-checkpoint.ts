/*
 * Finds the weights in the object of a PyTorch file: a state dict at the top, under whatever key, in dictionaries by
 * layer, or in a pickled module.
 */
import { chooseByPrefix, groupByPrefix, isAveraged, noteOthers, unknownKey, type WeightSet } from '../weight-sets.js';
import { noWeights } from './no-weights.js';
import { type Fail, Opaque, type PickledTensor, quote, shownName, type Value } from './values.js';
import { isParameterName, isRebuilt, moduleState, WeightTree } from './weight-tree.js';

/** Keys under which training scripts put the weights and nothing else, the likelier first. */
const WRAPPERS = ['state_dict', 'model_state_dict', 'model_state', 'weights', 'params'] as const;
/** Keys that may also be those of a module inside the network. */
const LOOSE_WRAPPERS = ['model', 'net', 'network', 'module'] as const;
/** Keys are followed so far on the way to the weights. */
const DEEPEST = 8;
/** More dictionaries of weights are not looked for. */
const MOST_SETS = 1000;
/** Dictionaries that may be parts of one model, up to this number. */
const MOST_PARTS = 32;

/** The weights of a checkpoint, found among everything else in it. */
export interface Selection {
  readonly tensors: ReadonlyMap<string, PickledTensor>;
  /** Keys that led to them, joined by dots; empty when they are the top level. */
  readonly unwrapped: string;
  /** Prefix that all names had and have lost; empty when there was none. */
  readonly prefix: string;
  /** Paths of the entries that are not among the weights. */
  readonly ignored: readonly string[];
  /** Other weights in the file. */
  readonly others: readonly WeightSet[];
  /** What a person should know of the choice, in sentences. */
  readonly notes: readonly string[];
}

/** A dictionary on the way to the weights. */
interface Place {
  readonly value: Value;
  readonly path: string;
}

interface Found {
  readonly place: Place;
  /** Other weights on the way. */
  readonly others: readonly Place[];
  /** Whether the tensors of several dictionaries are parts of one model. */
  readonly parts: readonly string[];
  readonly ignored: readonly string[];
}

const join = (path: string, key: string) => (path === '' ? key : `${path}.${key}`);

/**
 * Finds the state dict in the object of a PyTorch file.
 *
 * @param options.weights path of the weights to take. Default: the first that are not averaged.
 * @param options.keepNames whether prefixes of names are left as they are.
 * @throws ShiboriError when there is none; UsageError for a key that holds none.
 */
export function selectWeights(
  top: Value,
  fail: Fail,
  { weights: key, keepNames = false }: { readonly weights?: string; readonly keepNames?: boolean } = {},
): Selection {
  const value = Array.isArray(top) ? new Map<Value, Value>(top.map((entry, i) => [i, entry])) : top;
  const strict = new WeightTree(fail, false);
  const tree = strict.holdsWeights(value) ? strict : new WeightTree(fail, true);
  if (!tree.holdsWeights(value)) throw noWeights(top, fail);
  if (key !== undefined) return selectKey(tree, value, key, fail);
  const { place, others, parts, ignored } = follow(tree, { value, path: '' });
  const left: string[] = [...ignored];
  const flat = flatten(tree, place, others, left);
  const chosen = keepNames ? { tensors: flat, prefix: '', others: [], ignored: [] } : chooseByPrefix(flat, undefined);
  if (flat.size === 0 || chosen === undefined) throw noWeights(top, fail);
  const sets = [...others.map((other) => setAt(tree, other)), ...prefixed(chosen.others, place.path)];
  const notes = [
    noteOthers(whereFrom(place.path, chosen.prefix), sets),
    parts.length > 0 ? `The weights are put together from ${parts.map(quote).join(', ')}.` : undefined,
    sets.length === 0 && isUnusual(place.path) ? `The weights were found under ${quote(place.path)}.` : undefined,
    noteModule(place.value),
  ];
  return {
    ...chosen,
    unwrapped: place.path,
    ignored: [...left, ...chosen.ignored],
    others: sets,
    notes: notes.filter((note) => note !== undefined),
  };
}

/** The weights at a path, or those whose names begin with it. */
function selectKey(tree: WeightTree, top: Value, key: string, fail: Fail): Selection {
  const sets = allSets(tree, { value: top, path: '' });
  const rest = (used: string) => sets.filter(({ path }) => path !== used).map((place) => setAt(tree, place));
  const at = sets.find(({ path }) => path === key);
  if (at) {
    const { place, others, ignored } = follow(tree, at);
    const left = [...ignored];
    const chosen = chooseByPrefix(flatten(tree, place, others, left), undefined);
    if (chosen) {
      const found = { unwrapped: place.path, ignored: [...left, ...chosen.ignored], others: rest(key), notes: [] };
      return { ...chosen, ...found };
    }
  }
  const { place, others, ignored } = follow(tree, { value: top, path: '' });
  const left = [...ignored];
  const flat = flatten(tree, place, others, left);
  const inner = place.path !== '' && key.startsWith(`${place.path}.`) ? key.slice(place.path.length + 1) : key;
  const chosen = chooseByPrefix(flat, inner);
  if (chosen) return { ...chosen, unwrapped: place.path, ignored: left, others: rest(place.path), notes: [] };
  // Prefixes of names are those of layers, unless one says that it is not.
  const groups = [...groupByPrefix(flat)].filter(([prefix]) => prefix !== '');
  const hasSets = groups.some(([prefix]) => isAveraged(prefix));
  const known = [
    ...sets.filter(({ path }) => path !== '').map((found) => setAt(tree, found)),
    ...(hasSets ? groups.map(([prefix, { size }]) => ({ key: prefix, tensors: size })) : []),
  ];
  throw unknownKey(key, known, fail);
}

/** Goes from a dictionary to that of the weights. */
function follow(tree: WeightTree, start: Place): Found {
  const others: Place[] = [];
  const ignored: string[] = [];
  let place = start;
  for (let depth = 0; depth < DEEPEST; depth++) {
    const step = nextStep(tree, place.value);
    if (step.key === undefined) {
      others.push(...step.others.map((key) => child(tree, place, key)));
      return { place, others, parts: step.parts, ignored };
    }
    for (const key of tree.branchOf(place.value)?.keys() ?? [])
      if (key !== step.key) ignored.push(join(place.path, key));
    others.push(...step.others.map((key) => child(tree, place, key)));
    place = child(tree, place, step.key);
  }
  return { place, others, parts: [], ignored };
}

function child(tree: WeightTree, { value, path }: Place, key: string): Place {
  return { value: tree.branchOf(value)?.get(key) ?? null, path: join(path, key) };
}

/** Where to go from a dictionary: into a key, or nowhere. Others are the keys of weights that are left out. */
interface Step {
  readonly key?: string;
  readonly others: readonly string[];
  readonly parts: readonly string[];
}

function nextStep(tree: WeightTree, value: Value): Step {
  const entries = tree.branchOf(value) ?? new Map<string, Value>();
  const direct = [...entries].filter(([, entry]) => tree.tensorOf(entry) || isRebuilt(entry)).map(([name]) => name);
  const branches = [...entries].filter(([, entry]) => tree.holdsWeights(entry)).map(([name]) => name);
  const isWhole = (key: string) => tree.isComplete(entries.get(key));
  const into = (key: string): Step => ({ key, others: branches.filter((other) => other !== key), parts: [] });
  const isModule = value instanceof Opaque && moduleState(value) !== undefined;
  if (isModule || branches.length === 0) return { others: [], parts: [] };
  if (direct.some(isParameterName)) return { others: branches.filter(isWhole), parts: [] };
  const plain = branches.filter((key) => !isAveraged(key));
  const wrapper = WRAPPERS.find((key) => branches.includes(key));
  if (wrapper !== undefined) return into(wrapper);
  const loose = LOOSE_WRAPPERS.find((key) => branches.includes(key) && (isWhole(key) || plain.length === 1));
  if (loose !== undefined) return into(loose);
  const whole = branches.filter(isWhole).sort((a, b) => Number(isAveraged(a)) - Number(isAveraged(b)));
  const [first] = whole;
  if (first !== undefined) {
    const parts = whole
      .slice(0, MOST_PARTS)
      .filter((key) => !isAveraged(key) && arePartsOfOne(entries.get(first), entries.get(key), tree));
    if (parts.length === 0) return into(first);
    return { others: branches.filter((key) => key !== first && !parts.includes(key)), parts: [first, ...parts] };
  }
  const hasOwn = direct.some((name) => (tree.tensorOf(entries.get(name))?.dims.length ?? 0) > 1);
  const [only] = plain;
  if (only !== undefined && plain.length === 1 && !hasOwn) return into(only);
  const [single] = branches;
  if (single !== undefined && branches.length === 1 && !hasOwn) return into(single);
  return { others: plain.length > 0 ? branches.filter(isAveraged) : [], parts: [] };
}

/** Whether two state dicts are parts of one model: fewer than half of their tensors have the same names and sizes. */
function arePartsOfOne(a: Value | undefined, b: Value | undefined, tree: WeightTree): boolean {
  if (a === b) return false;
  const [first, second] = [tree.branchOf(a), tree.branchOf(b)];
  tree.spend(second?.size ?? 0);
  const dimsIn = (entries: ReadonlyMap<string, Value> | undefined, name: string) => {
    return tree.tensorOf(entries?.get(name))?.dims.join();
  };
  const common = [...(second?.keys() ?? [])].filter((name) => {
    const dims = dimsIn(second, name);
    return dims !== undefined && dims === dimsIn(first, name);
  });
  return 2 * common.length < Math.min(first?.size ?? 0, second?.size ?? 0);
}

/** The tensors of a dictionary without those of other sets inside it. */
function flatten(tree: WeightTree, { value, path }: Place, others: readonly Place[], left: string[]) {
  const apart = new Set(others.map((other) => other.path));
  const entries = [...(tree.branchOf(value) ?? [])];
  const kept = entries.filter(([key]) => !apart.has(join(path, key)));
  for (const other of kept.length < entries.length ? others : []) left.push(other.path);
  return tree.flatten(kept.length < entries.length ? new Map<Value, Value>(kept) : value, (name) =>
    left.push(join(path, name)),
  );
}

/** Every dictionary on the first levels that weights can be taken from. */
function allSets(tree: WeightTree, top: Place): Place[] {
  const found: Place[] = [];
  const visit = (place: Place, depth: number) => {
    for (const [key, entry] of tree.branchOf(place.value) ?? []) {
      if (found.length > MOST_SETS || !tree.holdsWeights(entry)) continue;
      const inner = { value: entry, path: join(place.path, key) };
      found.push(inner);
      if (depth < 4 && !tree.isComplete(entry)) visit(inner, depth + 1);
    }
  };
  visit(top, 0);
  return found;
}

function setAt(tree: WeightTree, { value, path }: Place): WeightSet {
  return { key: path, tensors: tree.countTensors(value) };
}

const prefixed = (sets: readonly WeightSet[], path: string) =>
  sets.map(({ key, tensors }) => ({ key: join(path, key), tensors }));

function whereFrom(path: string, prefix: string): string {
  if (path !== '') return `those of ${quote(path)}`;
  return prefix === '' ? 'those at the top of the file' : `those under ${quote(prefix.slice(0, -1))}`;
}

function isUnusual(path: string): boolean {
  const usual: readonly string[] = [...WRAPPERS, ...LOOSE_WRAPPERS];
  return path !== '' && !path.split('.').every((key) => usual.includes(key));
}

function noteModule(value: Value): string | undefined {
  if (!(value instanceof Opaque) || !moduleState(value)) return undefined;
  return `The file holds a whole pickled model (${shownName(value.name)}): its weights were read, its code was not run.`;
}
