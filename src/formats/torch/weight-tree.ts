import { isNumpyArray, readNumpyArray } from './numpy-array.js';
import { type Fail, OpaqueObject, PickledTensor, type PickleValue, quote } from './pickle-values.js';

/** Dictionaries inside dictionaries are followed so far: a pickled module nests as deep as the network. */
const MAX_TREE_DEPTH = 40;
/** Bounds for what a few dictionaries that contain each other can be unfolded to: entries looked at, text of names. */
const MOST_STEPS = 20e6;
const MOST_TENSORS = 200_000;
const MOST_CHARACTERS = 64e6;

/** What tensors of a layer are called. */
const PARAMETER = /^(weight|bias|running_mean|running_var|num_batches_tracked|gamma|beta|kernel|scale)(_\w+)?$/;

/** Whether a name is that of a parameter, alone or with the path of its layer before it. */
export function isParameterName(name: string): boolean {
  return name.includes('.') || PARAMETER.test(name);
}

/** Kinds of tensors that are not read, by the functions that make them. */
const KINDS: readonly (readonly [RegExp, string])[] = [
  [/_rebuild_qtensor/, 'a quantised tensor (use dequantize())'],
  [/_rebuild_sparse/, 'a sparse tensor (use to_dense())'],
  [/_rebuild_nested/, 'a nested tensor'],
  [/_rebuild_meta/, 'a tensor without data (on the device "meta")'],
];

/** Reads the objects of a pickle as dictionaries of tensors. */
export class WeightTree {
  readonly #branches = new Map<PickleValue, ReadonlyMap<string, PickleValue> | undefined>();
  readonly #weights = new Map<PickleValue, boolean>();
  readonly #complete = new Map<PickleValue, boolean>();
  readonly #arrays = new Map<OpaqueObject, PickledTensor | undefined>();
  #steps = 0;

  constructor(
    readonly fail: Fail,
    /** Whether tensors count that are no weights by name, type and size: where there are no others. */
    readonly anyTensor: boolean,
  ) {}

  /** A dictionary, one of a class of its own, or a pickled module, by its keys. */
  findBranch(value: PickleValue | undefined): ReadonlyMap<string, PickleValue> | undefined {
    if (!(value instanceof Map || value instanceof OpaqueObject)) return undefined;
    if (!this.#branches.has(value)) this.#branches.set(value, this.#readBranch(value));
    return this.#branches.get(value);
  }

  /** Counts entries looked at. Throws when they become more than a model can have. */
  countSteps(steps: number): void {
    this.#steps += steps;
    if (this.#steps > MOST_STEPS) throw this.#tooMany();
  }

  /** The keys of a dictionary as texts; numbers are those of layers in a list. */
  #readBranch(value: Map<PickleValue, PickleValue> | OpaqueObject): ReadonlyMap<string, PickleValue> | undefined {
    const parts = value instanceof Map ? [value] : (this.#moduleParts(value) ?? (value.entries && [value.entries]));
    if (parts === undefined) return undefined;
    const entries = new Map<string, PickleValue>();
    for (const part of parts) {
      this.countSteps(part.size);
      for (const [key, entry] of part) {
        if (typeof key !== 'string' && typeof key !== 'number') continue;
        const name = String(key);
        if (entries.has(name)) throw this.fail(`a dictionary in it has two entries of the name ${quote(name)}.`);
        entries.set(name, entry);
      }
    }
    return entries;
  }

  /** Parameters, buffers and modules of a pickled `torch.nn.Module`, in the order of its state dict. */
  #moduleParts(value: OpaqueObject): readonly Map<PickleValue, PickleValue>[] | undefined {
    const state = readModuleState(value);
    if (state === undefined) return undefined;
    const { parameters, modules, buffers, passing } = state;
    this.countSteps(passing.length + buffers.size);
    const left = new Set(passing);
    return [parameters, new Map([...buffers].filter(([name]) => !left.has(name))), modules];
  }

  /** A tensor, or an array of NumPy. */
  findPickledTensor(value: PickleValue | undefined): PickledTensor | undefined {
    if (value instanceof PickledTensor) return value;
    if (!(value instanceof OpaqueObject && isNumpyArray(value))) return undefined;
    if (!this.#arrays.has(value)) this.#arrays.set(value, readNumpyArray(value));
    return this.#arrays.get(value);
  }

  /** Whether a dictionary or one inside it has weights: not counters, states of random generators, or an optimizer's. */
  holdsWeights(value: PickleValue | undefined, depth = 0): boolean {
    const entries = this.findBranch(value);
    if (value === undefined || entries === undefined || depth > MAX_TREE_DEPTH || isOptimizer(entries)) return false;
    const known = this.#weights.get(value);
    if (known !== undefined) return known;
    // For dictionaries that contain themselves.
    this.#weights.set(value, false);
    let found = false;
    for (const [name, entry] of entries) {
      const tensor = this.findPickledTensor(entry);
      found ||= tensor
        ? this.#isWeight(name, tensor)
        : isUnreadableTensor(entry) || this.holdsWeights(entry, depth + 1);
      if (found) break;
    }
    this.#weights.set(value, found);
    return found;
  }

  #isWeight(name: string, { type, dims }: PickledTensor): boolean {
    if (this.anyTensor) return true;
    const isFloat = type.dtype === undefined || /float/.test(type.dtype);
    return isFloat && dims.length > 0 && (dims.length > 1 || isParameterName(name));
  }

  /** Whether a dictionary is a state dict by itself: its keys are paths of layers, or it is a module. */
  isComplete(value: PickleValue | undefined): boolean {
    if (value === undefined || (value instanceof OpaqueObject && readModuleState(value))) return value !== undefined;
    const known = this.#complete.get(value);
    if (known !== undefined) return known;
    const entries = [...(this.findBranch(value) ?? [])];
    const found = entries.some(
      ([name, entry]) => name.includes('.') && (this.findPickledTensor(entry) || isUnreadableTensor(entry)),
    );
    this.#complete.set(value, found);
    return found;
  }

  /** Number of tensors in a dictionary and those in it. */
  countTensors(value: PickleValue, around = new Set<PickleValue>([value])): number {
    let count = 0;
    for (const entry of this.findBranch(value)?.values() ?? []) {
      this.countSteps(1);
      if (this.findPickledTensor(entry)) count += 1;
      else if (around.size < MAX_TREE_DEPTH && !around.has(entry) && this.findBranch(entry)) {
        around.add(entry);
        count += this.countTensors(entry, around);
        around.delete(entry);
      }
    }
    return count;
  }

  /**
   * The tensors of a dictionary and of those in it, with the path of each as its name.
   *
   * @param ignored receives the paths of what is no tensor.
   * @throws ShiboriError for a tensor that an unknown function makes.
   */
  flatten(value: PickleValue, ignored?: (path: string) => void): Map<string, PickledTensor> {
    const tensors = new Map<string, PickledTensor>();
    let characters = 0;
    /** The dictionaries around the one visited: one may contain itself. */
    const around = new Set<PickleValue>([value]);
    const visit = (node: PickleValue, path: string, depth: number) => {
      for (const [key, entry] of this.findBranch(node) ?? []) {
        const name = path === '' ? key : `${path}.${key}`;
        this.countSteps(1);
        characters += name.length;
        if (characters > MOST_CHARACTERS) throw this.#tooMany();
        const tensor = this.findPickledTensor(entry);
        if (tensor) {
          if (tensors.has(name)) throw this.fail(`its weights have two tensors of the name ${quote(name)}.`);
          tensors.set(name, tensor);
        } else if (depth < MAX_TREE_DEPTH && !around.has(entry) && this.#isPart(node, entry)) {
          around.add(entry);
          visit(entry, name, depth + 1);
          around.delete(entry);
        } else if (isUnreadableTensor(entry)) throw this.#unreadable(name, entry);
        else if (entry !== null) ignored?.(name);
        if (tensors.size > MOST_TENSORS) throw this.#tooMany();
      }
    };
    visit(value, '', 0);
    return tensors;
  }

  /** Whether a dictionary in another one belongs to its tensors: modules may have counters alone. */
  #isPart(node: PickleValue, entry: PickleValue): boolean {
    return this.holdsWeights(entry) || (node instanceof OpaqueObject && this.findBranch(entry) !== undefined);
  }

  #tooMany() {
    return this.fail('its dictionaries contain each other so often that they hold far more than a model does.');
  }

  #unreadable(name: string, { name: maker }: OpaqueObject) {
    const convert = 'Convert it to a plain dense tensor in Python, and save the state dict again.';
    const kind = KINDS.find(([pattern]) => pattern.test(maker))?.[1] ?? 'an object';
    if (maker === 'torch.storage._load_from_bytes') {
      return this.fail(
        `tensor ${quote(name)} was pickled without torch.save (it asks to call ${maker}, which is refused). ` +
          'Save the weights in Python: torch.save(model.state_dict(), "weights.pt").',
      );
    }
    return this.fail(
      `tensor ${quote(name)} is ${kind}, made by ${quote(maker)}, which is not known here and not run. ${convert}`,
    );
  }
}

/** The parts of a pickled `torch.nn.Module` that make its state dict; `undefined` for every other object. */
export function readModuleState({ state }: OpaqueObject) {
  const attributes = Array.isArray(state) ? state[0] : state;
  if (!(attributes instanceof Map)) return undefined;
  const parameters = attributes.get('_parameters');
  const modules = attributes.get('_modules');
  if (!(parameters instanceof Map && modules instanceof Map)) return undefined;
  const buffers = attributes.get('_buffers');
  const passing = attributes.get('_non_persistent_buffers_set');
  return {
    parameters,
    modules,
    buffers: buffers instanceof Map ? buffers : new Map<PickleValue, PickleValue>(),
    passing: Array.isArray(passing) ? passing : [],
  };
}

function isOptimizer(entries: ReadonlyMap<string, PickleValue>): boolean {
  return entries.has('param_groups');
}

/** Whether an unknown function makes a tensor: it is PyTorch's, or is given one. */
export function isUnreadableTensor(value: PickleValue | undefined): value is OpaqueObject {
  if (!(value instanceof OpaqueObject) || isNumpyArray(value) || readModuleState(value)) return false;
  const makes = /^torch\.[\w.]*_rebuild\w*$/.test(value.name) || value.name === 'torch.storage._load_from_bytes';
  const isGiven = value.args.some(
    (arg) => arg instanceof PickledTensor || (arg instanceof OpaqueObject && isLoadedFromBytes(arg)),
  );
  return makes || isGiven;
}

function isLoadedFromBytes({ name }: OpaqueObject): boolean {
  return name === 'torch.storage._load_from_bytes';
}
