/*
 * The names of a pickle that stand for something here: what tensors and dictionaries are made with. A pickle is a
 * program, and calling names is its one way out; every other name is kept as a name, and calling it makes an opaque
 * object. Nothing is imported, constructed or run.
 */
import { type DType, getBytesPerElement } from '../../tensor/dtype.js';
import { isNumpyArray } from './numpy-array.js';
import {
  AllowedCall,
  ElementType,
  type Fail,
  OpaqueObject,
  PickledTensor,
  type PickleValue,
  Storage,
  UnknownName,
} from './pickle-values.js';
import { setOnce } from './set-once.js';
import { parseSizes } from './sizes.js';

const storageDtypes: Readonly<Record<string, DType>> = {
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

/** Storages of elements that tensors here cannot hold, and the bytes of one element. */
const otherStorages: Readonly<Record<string, number>> = {
  ComplexFloatStorage: 8,
  ComplexDoubleStorage: 16,
  QInt8Storage: 1,
  QUInt8Storage: 1,
  QInt32Storage: 4,
  QUInt4x2Storage: 1,
  QUInt2x4Storage: 1,
};

const torchDtypes: readonly DType[] = [
  ...(['float32', 'float64', 'float16', 'bfloat16', 'bool', 'int8', 'uint8'] as const),
  ...(['int16', 'uint16', 'int32', 'uint32', 'int64', 'uint64'] as const),
];

const calls: readonly AllowedCall[] = [
  new AllowedCall('collections.OrderedDict', buildDictionary),
  new AllowedCall('collections.Counter', buildDictionary),
  new AllowedCall('collections.defaultdict', () => new Map()),
  new AllowedCall('torch.Size', ([dims = []], fail) => parseSizes(dims, 'a size', fail)),
  ...['builtins', '__builtin__'].flatMap((module) =>
    ['set', 'frozenset', 'list', 'tuple'].map((name) => new AllowedCall(`${module}.${name}`, buildList)),
  ),
  ...['copyreg', 'copy_reg'].map((module) => new AllowedCall(`${module}._reconstructor`, reconstruct)),
  new AllowedCall('torch._utils._rebuild_tensor', rebuildTensor),
  new AllowedCall('torch._utils._rebuild_tensor_v2', rebuildTensor),
  new AllowedCall('torch._utils._rebuild_tensor_v3', rebuildTyped),
  new AllowedCall('torch._utils._rebuild_parameter', rebuildParameter),
  new AllowedCall('torch._utils._rebuild_parameter_with_state', rebuildParameter),
  new AllowedCall('torch._utils._rebuild_device_tensor_from_numpy', rebuildFromNumpy),
  ...['torch._tensor._rebuild_from_type_v2', 'torch._tensor._rebuild_from_type', 'torch.tensor._rebuild_from_type'].map(
    (name) => new AllowedCall(name, rebuildSubclass),
  ),
];

const allowedNames: ReadonlyMap<string, AllowedCall | ElementType> = new Map<string, AllowedCall | ElementType>([
  ...calls.map((call) => [call.name, call] as const),
  ...torchDtypes.map((dtype) => makeElementTypeEntry('torch', dtype, dtype)),
  // Files of old versions name the device in the class.
  ...['torch', 'torch.storage', 'torch.cuda'].flatMap((module) => [
    ...Object.entries(storageDtypes).map(([name, dtype]) => makeElementTypeEntry(module, name, dtype)),
    ...Object.entries(otherStorages).map(([name, bytes]) => makeElementTypeEntry(module, name, undefined, bytes)),
  ]),
]);

function makeElementTypeEntry(
  module: string,
  name: string,
  dtype: DType | undefined,
  bytes = dtype && getBytesPerElement(dtype),
) {
  return [`${module}.${name}`, new ElementType(`torch.${name}`, dtype, bytes)] as const;
}

/** What a global name of a pickle stands for: something here, or nothing but the name. */
export function lookUp(module: string, name: string): AllowedCall | ElementType | UnknownName {
  const full = `${module}.${name}`;
  const found = allowedNames.get(full);
  if (found !== undefined) return found;
  // Element types that tensors here cannot hold are an error only where such a tensor is wanted.
  const isType = module === 'torch' && /^(complex|float8_|q?u?int)\w*$/.test(name);
  const isStorage = /^torch(\.cuda|\.storage)?$/.test(module) && /\w+Storage$/.test(name);
  return isType || isStorage ? new ElementType(full, undefined, undefined) : new UnknownName(full);
}

function buildDictionary([content]: readonly PickleValue[], fail: Fail): PickleValue {
  if (content === undefined) return new Map();
  if (content instanceof Map) return content;
  if (!Array.isArray(content)) throw fail('a dictionary in it is not built as PyTorch builds one.');
  const result = new Map<PickleValue, PickleValue>();
  for (const pair of content) {
    if (!Array.isArray(pair) || pair.length !== 2) throw fail('a dictionary in it is not built from pairs.');
    setOnce(result, pair[0] ?? null, pair[1] ?? null, fail);
  }
  return result;
}

function buildList([content = []]: readonly PickleValue[]): PickleValue {
  return Array.isArray(content) ? content : new OpaqueObject('builtins.list', [content]);
}

/** How protocols 0 and 1 write an object: `_reconstructor(class, base, content of the base)`. */
function reconstruct([type, , content]: readonly PickleValue[]): PickleValue {
  if (type === undefined) return new OpaqueObject('copyreg._reconstructor');
  if (type instanceof AllowedCall && content instanceof Map) return content;
  const object = new OpaqueObject(getGlobalName(type), [content ?? null]);
  if (content instanceof Map) object.entries = content;
  return object;
}

function getGlobalName(value: PickleValue): string {
  return value instanceof UnknownName || value instanceof AllowedCall ? value.name : 'an unknown class';
}

/** `_rebuild_tensor(storage, offset, size, stride)`; version 2 adds what only training needs. */
function rebuildTensor(
  [storage, offset, dims, strides]: readonly PickleValue[],
  fail: Fail,
): PickledTensor | OpaqueObject {
  if (storage instanceof OpaqueObject) return new OpaqueObject(storage.name, [storage]);
  if (!(storage instanceof Storage)) throw fail('a tensor in it has no storage.');
  return makePickledView(storage, storage.type, offset, dims, strides, fail);
}

/** `_rebuild_tensor_v3(storage, offset, size, stride, requires_grad, hooks, dtype)`: the storage is plain bytes. */
function rebuildTyped([storage, offset, dims, strides, , , type]: readonly PickleValue[], fail: Fail): PickleValue {
  if (storage instanceof OpaqueObject) return new OpaqueObject(storage.name, [storage]);
  if (!(storage instanceof Storage)) throw fail('a tensor in it has no storage.');
  if (!(type instanceof ElementType)) throw fail('a tensor in it has no element type.');
  return makePickledView(storage, type, offset, dims, strides, fail);
}

function makePickledView(
  storage: Storage,
  type: ElementType,
  offset: PickleValue | undefined,
  dims: PickleValue | undefined,
  strides: PickleValue | undefined,
  fail: Fail,
): PickledTensor {
  const lengths = parseSizes(dims, 'the size of a tensor', fail);
  const steps = parseSizes(strides, 'the strides of a tensor', fail);
  if (lengths.length !== steps.length)
    throw fail(`a tensor in it has ${lengths.length} axes but ${steps.length} strides.`);
  const [start = 0] = parseSizes([offset ?? null], 'the offset of a tensor', fail);
  return new PickledTensor(storage, type, start, lengths, steps);
}

/** `_rebuild_parameter(data, requires_grad, hooks)`: the tensor, whatever made it. */
function rebuildParameter([data]: readonly PickleValue[], fail: Fail): PickleValue {
  if (data instanceof PickledTensor || data instanceof OpaqueObject) return data;
  throw fail('a parameter in it has no tensor.');
}

/** `_rebuild_device_tensor_from_numpy(array, dtype, device, requires_grad)`, as tensors of XLA are saved. */
function rebuildFromNumpy([array = null]: readonly PickleValue[]): PickleValue {
  return array instanceof OpaqueObject && isNumpyArray(array)
    ? array
    : new OpaqueObject('torch._utils._rebuild_device_tensor_from_numpy', [array]);
}

/** `_rebuild_from_type_v2(function, class, arguments, state)`: a tensor of a class of its own, read as a plain one. */
function rebuildSubclass([callee, , args]: readonly PickleValue[], fail: Fail): PickleValue {
  if (!Array.isArray(args)) throw fail('a tensor in it is made without arguments.');
  if (callee instanceof AllowedCall && callee.call !== rebuildSubclass) return callee.call(args, fail);
  return new OpaqueObject(getGlobalName(callee ?? null), args);
}
