/*
 * The names that a pickle may look up, and what they stand for here. Everything else is refused: a pickle is a program,
 * and looking up a name is its one way out.
 */
import type { ShiboriError } from '../../errors.js';
import type { DType } from '../../tensor/dtype.js';
import { AllowedCall, ElementType, type Fail, Opaque, PickledTensor, quote, Storage, type Value } from './values.js';

const storageClasses: Readonly<Record<string, DType>> = {
  FloatStorage: 'float32',
  DoubleStorage: 'float64',
  HalfStorage: 'float16',
  BFloat16Storage: 'bfloat16',
  CharStorage: 'int8',
  ByteStorage: 'uint8',
  ShortStorage: 'int16',
  IntStorage: 'int32',
  LongStorage: 'int64',
  BoolStorage: 'bool',
  UntypedStorage: 'uint8',
};

const dtypes: readonly DType[] = [
  ...(['float32', 'float64', 'float16', 'bfloat16', 'bool', 'int8', 'uint8'] as const),
  ...(['int16', 'uint16', 'int32', 'uint32', 'int64', 'uint64'] as const),
];

/**
 * What training scripts store beside the weights: settings, counters, scores. They become inert tokens, or a plain
 * dictionary, so that such a checkpoint can be read at all.
 */
const inert = [
  'argparse.Namespace',
  'torch.device',
  'numpy.dtype',
  'numpy.core.multiarray.scalar',
  'numpy._core.multiarray.scalar',
  // How protocol 2 writes bytes.
  '_codecs.encode',
  'builtins.set',
  '__builtin__.set',
];

const calls: readonly AllowedCall[] = [
  new AllowedCall('collections.OrderedDict', dictionary),
  new AllowedCall('collections.Counter', dictionary),
  new AllowedCall('torch.Size', ([dims = []], fail) => sizes(dims, 'a size', fail)),
  new AllowedCall('torch._utils._rebuild_tensor', rebuildTensor),
  new AllowedCall('torch._utils._rebuild_tensor_v2', rebuildTensor),
  new AllowedCall('torch._utils._rebuild_tensor_v3', rebuildTyped),
  new AllowedCall('torch._utils._rebuild_parameter', rebuildParameter),
  new AllowedCall('torch._utils._rebuild_parameter_with_state', rebuildParameter),
  ...inert.map((name) => new AllowedCall(name, () => new Opaque(name))),
];

const allowed: ReadonlyMap<string, AllowedCall | ElementType> = new Map<string, AllowedCall | ElementType>([
  ...calls.map((call) => [call.name, call] as const),
  ...dtypes.map((dtype) => [`torch.${dtype}`, new ElementType(`torch.${dtype}`, dtype)] as const),
  ...Object.entries(storageClasses).flatMap(([name, dtype]) =>
    // Files of old versions name the device in the class.
    ['torch', 'torch.storage', 'torch.cuda'].map((module) => {
      return [`${module}.${name}`, new ElementType(`torch.${name}`, dtype)] as const;
    }),
  ),
]);

/**
 * What a global name of a pickle stands for.
 *
 * @throws ShiboriError for every name that is not on the list.
 */
export function lookUp(module: string, name: string, fail: Fail): AllowedCall | ElementType {
  const full = `${module}.${name}`;
  const found = allowed.get(full);
  if (found !== undefined) return found;
  // Element types that tensors here cannot hold are an error only where such a tensor is wanted.
  if (module === 'torch' && /^(complex|float8_|q?u?int)\w*$/.test(name)) return new ElementType(full, undefined);
  throw refusal(module, name, fail);
}

/** The error for a name that is not on the list: it tells a whole pickled model from a hostile file. */
export function refusal(module: string, name: string, fail: Fail): ShiboriError {
  const full = quote(`${module}.${name}`).slice(1, -1);
  const save = 'Save the weights alone in Python: torch.save(model.state_dict(), "weights.pt").';
  if (/^torch(\.cuda)?$/.test(module) && name.endsWith('Storage')) {
    return fail(
      `it holds elements of type ${full}, which are not supported. Convert the model in Python: model.float().`,
    );
  }
  if (full === 'torch.storage._load_from_bytes') {
    return fail(`its tensors were pickled without torch.save (it asks to call ${full}, refused). ${save}`);
  }
  if (module === 'torch._utils' && name.startsWith('_rebuild')) {
    return fail(
      `it holds a kind of tensor that is not supported (${full}). Convert it to plain dense tensors in Python.`,
    );
  }
  if (/^[A-Z]/.test(name.split('.').at(-1) ?? '')) {
    return fail(
      `the file asks for the Python class ${full}, but only tensors are read, and nothing in a file is run. ` +
        `It looks as if a whole model or other objects were pickled. ${save}`,
    );
  }
  return fail(
    `the file asks to call ${full}; a weight file never does, so it is refused. Do not trust it, nor load it in Python. ` +
      `If it is your own: ${save}`,
  );
}

function dictionary([content]: readonly Value[], fail: Fail): Value {
  if (content === undefined) return new Map();
  if (content instanceof Map) return content;
  if (!Array.isArray(content)) throw fail('a dictionary in it is not built as PyTorch builds one.');
  const result = new Map<Value, Value>();
  for (const pair of content) {
    if (!Array.isArray(pair) || pair.length !== 2) throw fail('a dictionary in it is not built from pairs.');
    result.set(pair[0] ?? null, pair[1] ?? null);
  }
  return result;
}

/** `_rebuild_tensor(storage, offset, size, stride)`; version 2 adds what only training needs. */
function rebuildTensor([storage, offset, dims, strides]: readonly Value[], fail: Fail): PickledTensor {
  if (!(storage instanceof Storage)) throw fail('a tensor in it has no storage.');
  return view(storage, storage.type, offset, dims, strides, fail);
}

/** `_rebuild_tensor_v3(storage, offset, size, stride, requires_grad, hooks, dtype)`: the storage is plain bytes. */
function rebuildTyped([storage, offset, dims, strides, , , type]: readonly Value[], fail: Fail): PickledTensor {
  if (!(storage instanceof Storage)) throw fail('a tensor in it has no storage.');
  if (!(type instanceof ElementType)) throw fail('a tensor in it has no element type.');
  return view(storage, type, offset, dims, strides, fail);
}

function view(
  storage: Storage,
  type: ElementType,
  offset: Value | undefined,
  dims: Value | undefined,
  strides: Value | undefined,
  fail: Fail,
): PickledTensor {
  const lengths = sizes(dims, 'the size of a tensor', fail);
  const steps = sizes(strides, 'the strides of a tensor', fail);
  if (lengths.length !== steps.length)
    throw fail(`a tensor in it has ${lengths.length} axes but ${steps.length} strides.`);
  const [start = 0] = sizes([offset ?? null], 'the offset of a tensor', fail);
  return new PickledTensor(storage, type, start, lengths, steps);
}

function rebuildParameter([data]: readonly Value[], fail: Fail): Value {
  if (!(data instanceof PickledTensor)) throw fail('a parameter in it has no tensor.');
  return data;
}

/** PyTorch allows 64 axes at most; no model comes near. */
const MOST_AXES = 64;

function sizes(value: Value | undefined, what: string, fail: Fail): number[] {
  if (!Array.isArray(value)) throw fail(`${what} in it is not a list of integers.`);
  if (value.length > MOST_AXES) throw fail(`${what} in it has ${value.length} axes, more than ${MOST_AXES}.`);
  return value.map((entry) => {
    if (typeof entry === 'number' && Number.isSafeInteger(entry) && entry >= 0) return entry;
    throw fail(
      `${what} in it holds ${typeof entry === 'bigint' ? entry : quote(String(entry))}, no integer from 0 to 2^53.`,
    );
  });
}
