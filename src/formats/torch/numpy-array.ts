/*
 * NumPy arrays in a pickle: `_reconstruct(ndarray, (0,), b'b')` with the state `(version, shape, dtype, fortran, bytes)`,
 * or `_frombuffer(bytes, dtype, shape, order)` since protocol 5. Source: numpy/core/src/multiarray/methods.c,
 * array_reduce, and numpy/core/numeric.py.
 */
import { computeStrides } from '../../tensor/dims.js';
import { type DType, getBytesPerElement } from '../../tensor/dtype.js';
import { ElementType, OpaqueObject, PickledTensor, type PickleValue } from './pickle-values.js';

const numpyCodes: Readonly<Record<string, DType>> = {
  f2: 'float16',
  f4: 'float32',
  f8: 'float64',
  i1: 'int8',
  i2: 'int16',
  i4: 'int32',
  i8: 'int64',
  u1: 'uint8',
  u2: 'uint16',
  u4: 'uint32',
  u8: 'uint64',
  b1: 'bool',
};

const MADE_BY = /^numpy\._?core\.(multiarray\._reconstruct|numeric\._frombuffer)$/;

/** Whether an object is one that NumPy makes of an array. */
export function isNumpyArray(value: OpaqueObject): boolean {
  return MADE_BY.test(value.name);
}

/** The array as a tensor whose elements lie in the pickle; `undefined` for what is no array of plain numbers. */
export function readNumpyArray(value: OpaqueObject): PickledTensor | undefined {
  if (!isNumpyArray(value)) return undefined;
  const isBuffer = value.name.endsWith('_frombuffer');
  const parts = isBuffer ? value.args : Array.isArray(value.state) ? value.state : [];
  const [shape, type, order, content] = isBuffer ? [parts[2], parts[1], parts[3], parts[0]] : parts.slice(1);
  const dtype = readArrayDtype(type);
  const bytes = readArrayBytes(content);
  if (dtype === undefined || bytes === undefined || !isShape(shape)) return undefined;
  const size = shape.includes(0) ? 0 : shape.reduce((product, dim) => product * dim, 1);
  if (bytes.length !== size * getBytesPerElement(dtype)) return undefined;
  const isFortran = order === true || order === 'F';
  const strides = isFortran ? computeStrides(shape.toReversed()).toReversed() : computeStrides(shape);
  const elements = new ElementType(`numpy.${dtype}`, dtype, getBytesPerElement(dtype));
  return new PickledTensor(bytes, elements, 0, shape, strides);
}

/** `dtype('f4', …)` with the state `(3, '<', …)`: little endian, or of single bytes. */
function readArrayDtype(type: PickleValue | undefined): DType | undefined {
  if (!(type instanceof OpaqueObject) || type.name !== 'numpy.dtype') return undefined;
  const [code] = type.args;
  const order = Array.isArray(type.state) ? type.state[1] : '=';
  if (typeof code !== 'string' || order === '>') return undefined;
  return Object.hasOwn(numpyCodes, code) ? numpyCodes[code] : undefined;
}

/** Bytes, also as protocols before 3 write them: `_codecs.encode(text, 'latin1')`. */
function readArrayBytes(content: PickleValue | undefined): Uint8Array | undefined {
  if (content instanceof Uint8Array) return content.slice();
  if (!(content instanceof OpaqueObject) || !['_codecs.encode', 'builtins.bytearray'].includes(content.name))
    return undefined;
  const [text] = content.args;
  if (text instanceof Uint8Array) return text.slice();
  if (typeof text !== 'string') return undefined;
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0xff) return undefined;
    bytes[i] = code;
  }
  return bytes;
}

function isShape(value: PickleValue | undefined): value is number[] {
  const most = 32;
  return (
    Array.isArray(value) &&
    value.length <= most &&
    value.every((dim) => typeof dim === 'number' && Number.isSafeInteger(dim) && dim >= 0)
  );
}
