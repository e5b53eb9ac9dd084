import { type Fail, PickledTensor, quote, type Value } from './values.js';

/** Keys under which training scripts put the weights, the likelier first. */
const WRAPPERS = ['state_dict', 'model_state_dict', 'model', 'net'] as const;
/** Wrappers inside wrappers are followed so far. */
const DEEPEST = 4;
/** What DataParallel puts before every name. */
const PARALLEL_PREFIX = 'module.';

/** The weights of a checkpoint, found among everything else in it. */
export interface Selection {
  readonly tensors: ReadonlyMap<string, PickledTensor>;
  /** Keys that led to them, joined by dots; empty when they are the top level. */
  readonly unwrapped: string;
  /** Prefix that all names had and have lost; empty when there was none. */
  readonly prefix: string;
  /** Paths of the entries that are not among the weights. */
  readonly ignored: readonly string[];
}

/**
 * Finds the state dict in the object of a PyTorch file.
 *
 * @throws ShiboriError when there is none.
 */
export function selectWeights(top: Value, fail: Fail): Selection {
  if (!(top instanceof Map)) {
    const found = top instanceof PickledTensor ? 'a single tensor' : 'no dictionary';
    throw fail(`it holds ${found}, but a state dict is needed. Save torch.save(model.state_dict(), "weights.pt").`);
  }
  const ignored: string[] = [];
  const keys: string[] = [];
  let dictionary: Map<Value, Value> = top;
  // A dictionary in a hostile pickle can contain itself.
  for (let depth = 0; depth < DEEPEST; depth++) {
    const key = WRAPPERS.find((name) => holdsWeights(dictionary.get(name)));
    const inner = key === undefined ? undefined : dictionary.get(key);
    if (key === undefined || !(inner instanceof Map)) break;
    for (const other of dictionary.keys()) if (other !== key) ignored.push(pathOf(keys, other));
    keys.push(key);
    dictionary = inner;
  }

  const named = new Map<string, PickledTensor>();
  for (const [key, value] of dictionary) {
    if (typeof key === 'string' && value instanceof PickledTensor) named.set(key, value);
    else ignored.push(pathOf(keys, key));
  }
  if (named.size === 0) {
    const some = [...top.keys()].slice(0, 8).map((key) => quote(nameOf(key)));
    throw fail(
      `it holds no named tensors${some.length > 0 ? `, only ${some.join(', ')}${top.size > 8 ? ', …' : ''}` : ''}. ` +
        `Weights are looked for at the top and under ${WRAPPERS.join(', ')}. ` +
        'Save them in Python: torch.save(model.state_dict(), "weights.pt").',
    );
  }
  const parallel = [...named.keys()].every((name) => name.startsWith(PARALLEL_PREFIX));
  const prefix = parallel ? PARALLEL_PREFIX : '';
  return {
    tensors: new Map([...named].map(([name, value]) => [name.slice(prefix.length), value] as const)),
    unwrapped: keys.join('.'),
    prefix,
    ignored,
  };
}

/** Whether tensors lie in a dictionary, or further wrappers. */
function holdsWeights(value: Value | undefined): boolean {
  if (!(value instanceof Map)) return false;
  for (const entry of value.values()) if (entry instanceof PickledTensor) return true;
  return WRAPPERS.some((name) => value.get(name) instanceof Map);
}

function nameOf(key: Value): string {
  return typeof key === 'object' && key !== null ? 'an object' : String(key);
}

function pathOf(keys: readonly string[], key: Value): string {
  return [...keys, nameOf(key)].join('.');
}
