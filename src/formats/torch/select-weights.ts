/*
 * Finds the weights in the object of a PyTorch file: a state dict at the top, under whatever key, in dictionaries by
 * layer, or in a pickled module.
 */
import {
  chooseByPrefix,
  groupByPrefix,
  isAveraged,
  makeUnknownKeyError,
  noteOthers,
  type WeightSet,
} from '../weight-sets.js';
import { makeNoWeightsError } from './no-weights.js';
import {
  type Fail,
  formatPythonName,
  OpaqueObject,
  type PickledTensor,
  type PickleValue,
  quote,
} from './pickle-values.js';
import { isParameterName, isUnreadableTensor, readModuleState, WeightTree } from './weight-tree.js';

/** Keys under which training scripts put the weights and nothing else, the likelier first. */
const WRAPPERS = ['state_dict', 'model_state_dict', 'model_state', 'weights', 'params'] as const;
/** Keys that may also be those of a module inside the network. */
const LOOSE_WRAPPERS = ['model', 'net', 'network', 'module'] as const;
/** Keys are followed so far on the way to the weights. */
const MAX_KEY_DEPTH = 8;
/** More dictionaries of weights are not looked for. */
const MOST_SETS = 1000;
/** Dictionaries that may be parts of one model, up to this number. */
const MOST_PARTS = 32;

/** The weights of a checkpoint, found among everything else in it. */
export interface WeightSelection {
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
interface WeightPlace {
  readonly value: PickleValue;
  readonly path: string;
}

interface FoundWeights {
  readonly place: WeightPlace;
  /** Other weights on the way. */
  readonly others: readonly WeightPlace[];
  /** Whether the tensors of several dictionaries are parts of one model. */
  readonly parts: readonly string[];
  readonly ignored: readonly string[];
}

const joinKeys = (path: string, key: string) => (path === '' ? key : `${path}.${key}`);

/**
 * Finds the state dict in the object of a PyTorch file.
 *
 * @param options.weights path of the weights to take. Default: the first that are not averaged.
 * @param options.keepNames whether prefixes of names are left as they are.
 * @throws ShiboriError when there is none; UsageError for a key that holds none.
 */
export function selectWeights(
  top: PickleValue,
  fail: Fail,
  { weights: key, keepNames = false }: { readonly weights?: string; readonly keepNames?: boolean } = {},
): WeightSelection {
  const value = Array.isArray(top) ? new Map<PickleValue, PickleValue>(top.map((entry, i) => [i, entry])) : top;
  const strict = new WeightTree(fail, false);
  const tree = strict.holdsWeights(value) ? strict : new WeightTree(fail, true);
  if (!tree.holdsWeights(value)) throw makeNoWeightsError(top, fail);
  if (key !== undefined) return selectKey(tree, value, key, fail);
  const { place, others, parts, ignored } = follow(tree, { value, path: '' });
  const left: string[] = [...ignored];
  const flat = flattenPlace(tree, place, others, left);
  const chosen = keepNames ? { tensors: flat, prefix: '', others: [], ignored: [] } : chooseByPrefix(flat, undefined);
  if (flat.size === 0 || chosen === undefined) throw makeNoWeightsError(top, fail);
  const sets = [...others.map((other) => makeWeightSet(tree, other)), ...prefixSets(chosen.others, place.path)];
  const notes = [
    noteOthers(describeSource(place.path, chosen.prefix), sets),
    parts.length > 0 ? `The weights are put together from ${parts.map(quote).join(', ')}.` : undefined,
    sets.length === 0 && isUnusualPath(place.path) ? `The weights were found under ${quote(place.path)}.` : undefined,
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
function selectKey(tree: WeightTree, top: PickleValue, key: string, fail: Fail): WeightSelection {
  const sets = listWeightPlaces(tree, { value: top, path: '' });
  const rest = (used: string) => sets.filter(({ path }) => path !== used).map((place) => makeWeightSet(tree, place));
  const at = sets.find(({ path }) => path === key);
  if (at) {
    const { place, others, ignored } = follow(tree, at);
    const left = [...ignored];
    const chosen = chooseByPrefix(flattenPlace(tree, place, others, left), undefined);
    if (chosen) {
      const found = { unwrapped: place.path, ignored: [...left, ...chosen.ignored], others: rest(key), notes: [] };
      return { ...chosen, ...found };
    }
  }
  const { place, others, ignored } = follow(tree, { value: top, path: '' });
  const left = [...ignored];
  const flat = flattenPlace(tree, place, others, left);
  const inner = place.path !== '' && key.startsWith(`${place.path}.`) ? key.slice(place.path.length + 1) : key;
  const chosen = chooseByPrefix(flat, inner);
  if (chosen) return { ...chosen, unwrapped: place.path, ignored: left, others: rest(place.path), notes: [] };
  // Prefixes of names are those of layers, unless one says that it is not.
  const groups = [...groupByPrefix(flat)].filter(([prefix]) => prefix !== '');
  const hasSets = groups.some(([prefix]) => isAveraged(prefix));
  const known = [
    ...sets.filter(({ path }) => path !== '').map((found) => makeWeightSet(tree, found)),
    ...(hasSets ? groups.map(([prefix, { size }]) => ({ key: prefix, tensors: size })) : []),
  ];
  throw makeUnknownKeyError(key, known, fail);
}

/** Goes from a dictionary to that of the weights. */
function follow(tree: WeightTree, start: WeightPlace): FoundWeights {
  const others: WeightPlace[] = [];
  const ignored: string[] = [];
  let place = start;
  for (let depth = 0; depth < MAX_KEY_DEPTH; depth++) {
    const step = chooseNextStep(tree, place.value);
    if (step.key === undefined) {
      others.push(...step.others.map((key) => getChild(tree, place, key)));
      return { place, others, parts: step.parts, ignored };
    }
    for (const key of tree.findBranch(place.value)?.keys() ?? [])
      if (key !== step.key) ignored.push(joinKeys(place.path, key));
    others.push(...step.others.map((key) => getChild(tree, place, key)));
    place = getChild(tree, place, step.key);
  }
  return { place, others, parts: [], ignored };
}

function getChild(tree: WeightTree, { value, path }: WeightPlace, key: string): WeightPlace {
  return { value: tree.findBranch(value)?.get(key) ?? null, path: joinKeys(path, key) };
}

/** Where to go from a dictionary: into a key, or nowhere. Others are the keys of weights that are left out. */
interface WeightStep {
  readonly key?: string;
  readonly others: readonly string[];
  readonly parts: readonly string[];
}

function chooseNextStep(tree: WeightTree, value: PickleValue): WeightStep {
  const entries = tree.findBranch(value) ?? new Map<string, PickleValue>();
  const direct = [...entries]
    .filter(([, entry]) => tree.findPickledTensor(entry) || isUnreadableTensor(entry))
    .map(([name]) => name);
  const branches = [...entries].filter(([, entry]) => tree.holdsWeights(entry)).map(([name]) => name);
  const isWhole = (key: string) => tree.isComplete(entries.get(key));
  const into = (key: string): WeightStep => ({ key, others: branches.filter((other) => other !== key), parts: [] });
  const isModule = value instanceof OpaqueObject && readModuleState(value) !== undefined;
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
  const hasOwn = direct.some((name) => (tree.findPickledTensor(entries.get(name))?.dims.length ?? 0) > 1);
  const [only] = plain;
  if (only !== undefined && plain.length === 1 && !hasOwn) return into(only);
  const [single] = branches;
  if (single !== undefined && branches.length === 1 && !hasOwn) return into(single);
  return { others: plain.length > 0 ? branches.filter(isAveraged) : [], parts: [] };
}

/** Whether two state dicts are parts of one model: fewer than half of their tensors have the same names and sizes. */
function arePartsOfOne(a: PickleValue | undefined, b: PickleValue | undefined, tree: WeightTree): boolean {
  if (a === b) return false;
  const [first, second] = [tree.findBranch(a), tree.findBranch(b)];
  tree.countSteps(second?.size ?? 0);
  const dimsIn = (entries: ReadonlyMap<string, PickleValue> | undefined, name: string) => {
    return tree.findPickledTensor(entries?.get(name))?.dims.join();
  };
  const common = [...(second?.keys() ?? [])].filter((name) => {
    const dims = dimsIn(second, name);
    return dims !== undefined && dims === dimsIn(first, name);
  });
  return 2 * common.length < Math.min(first?.size ?? 0, second?.size ?? 0);
}

/** The tensors of a dictionary without those of other sets inside it. */
function flattenPlace(tree: WeightTree, { value, path }: WeightPlace, others: readonly WeightPlace[], left: string[]) {
  const apart = new Set(others.map((other) => other.path));
  const entries = [...(tree.findBranch(value) ?? [])];
  const kept = entries.filter(([key]) => !apart.has(joinKeys(path, key)));
  for (const other of kept.length < entries.length ? others : []) left.push(other.path);
  return tree.flatten(kept.length < entries.length ? new Map<PickleValue, PickleValue>(kept) : value, (name) =>
    left.push(joinKeys(path, name)),
  );
}

/** Every dictionary on the first levels that weights can be taken from. */
function listWeightPlaces(tree: WeightTree, top: WeightPlace): WeightPlace[] {
  const found: WeightPlace[] = [];
  const visit = (place: WeightPlace, depth: number) => {
    for (const [key, entry] of tree.findBranch(place.value) ?? []) {
      if (found.length > MOST_SETS || !tree.holdsWeights(entry)) continue;
      const inner = { value: entry, path: joinKeys(place.path, key) };
      found.push(inner);
      if (depth < 4 && !tree.isComplete(entry)) visit(inner, depth + 1);
    }
  };
  visit(top, 0);
  return found;
}

function makeWeightSet(tree: WeightTree, { value, path }: WeightPlace): WeightSet {
  return { key: path, tensors: tree.countTensors(value) };
}

const prefixSets = (sets: readonly WeightSet[], path: string) =>
  sets.map(({ key, tensors }) => ({ key: joinKeys(path, key), tensors }));

function describeSource(path: string, prefix: string): string {
  if (path !== '') return `those of ${quote(path)}`;
  return prefix === '' ? 'those at the top of the file' : `those under ${quote(prefix.slice(0, -1))}`;
}

function isUnusualPath(path: string): boolean {
  const usual: readonly string[] = [...WRAPPERS, ...LOOSE_WRAPPERS];
  return path !== '' && !path.split('.').every((key) => usual.includes(key));
}

function noteModule(value: PickleValue): string | undefined {
  if (!(value instanceof OpaqueObject) || !readModuleState(value)) return undefined;
  return `The file holds a whole pickled model (${formatPythonName(value.name)}): its weights were read, its code was not run.`;
}
