/*
 * NumPy's .npy files: magic, version, a Python dictionary as text, then the elements. The dictionary is matched, never
 * evaluated. Source: numpy.lib.format, versions 1.0 to 3.0.
 */
import { ShiboriError } from '../errors.js';
import { countElements } from '../tensor/dims.js';
import { allocate, type DType, fromBytes, getBytesPerElement } from '../tensor/dtype.js';
import { getTensorBytes, type Tensor, tensor } from '../tensor/tensor.js';

const NPY_MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]; // "\x93NUMPY"

/** NumPy itself refuses longer headers: they could only make its parser slow. */
const MAX_NPY_HEADER_BYTES = 10_000;

/** NumPy aligns the first element to this many bytes. */
const NPY_ALIGNMENT = 64;

const npyDtypes: Readonly<Record<string, DType>> = {
  '<f2': 'float16',
  '<f4': 'float32',
  '<f8': 'float64',
  '|i1': 'int8',
  '<i2': 'int16',
  '<i4': 'int32',
  '<i8': 'int64',
  '|u1': 'uint8',
  '<u2': 'uint16',
  '<u4': 'uint32',
  '<u8': 'uint64',
  '|b1': 'bool',
};

function readNpyHeader(bytes: Uint8Array, fail: (problem: string) => never): { text: string; end: number } {
  if (bytes.length < 12 || NPY_MAGIC.some((byte, i) => bytes[i] !== byte))
    fail('it does not begin as a .npy file does');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const major = view.getUint8(6);
  if (major < 1 || major > 3) fail(`it is of version ${major}; versions 1 to 3 are known`);
  const start = major === 1 ? 10 : 12;
  const length = major === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (length > MAX_NPY_HEADER_BYTES)
    fail(`its header claims ${length} bytes, more than the ${MAX_NPY_HEADER_BYTES} of a sane file`);
  if (start + length > bytes.length) fail('it ends inside its header');
  const text = new TextDecoder('utf-8').decode(bytes.subarray(start, start + length));
  return { text, end: start + length };
}

/**
 * The array in a `.npy` file (versions 1 to 3; little-endian float16/32/64, integers and bool; C order).
 *
 * @param file Its name, for error messages.
 * @throws ShiboriError for any other file, and when the elements are not exactly as many as the header says.
 */
export function readNpy(bytes: Uint8Array, file = 'a .npy file'): Tensor {
  const fail = (problem: string): never => {
    throw new ShiboriError(`Reading ${file}: ${problem}.`, { code: 'invalid-file' });
  };
  const { text, end } = readNpyHeader(bytes, fail);
  const descr =
    /'descr'\s*:\s*'([^']*)'/.exec(text)?.[1] ?? fail(`no simple element type in its header ${text.trim()}`);
  const order = /'fortran_order'\s*:\s*(True|False)/.exec(text)?.[1] ?? fail('no fortran_order in its header');
  const shape = /'shape'\s*:\s*\(([\d\s,]*)\)/.exec(text)?.[1] ?? fail('no shape in its header');
  const dtype = npyDtypes[descr];
  if (dtype === undefined) {
    return fail(
      `elements of type '${descr}' are not supported (only ${Object.keys(npyDtypes).join(' ')}); ` +
        "convert with numpy's astype",
    );
  }
  const dims = shape
    .split(',')
    .filter((part) => part.trim() !== '')
    .map(Number);
  if (order === 'True' && dims.length > 1) {
    fail('it is in Fortran (column-major) order, which is not supported; save numpy.ascontiguousarray(array) instead');
  }
  // In floating point a hostile product becomes huge, infinite or NaN, and so never equals the bytes that are there.
  const expected = countElements(dims) * getBytesPerElement(dtype);
  const found = bytes.length - end;
  if (expected !== found) {
    fail(`its header promises ${dtype} [${dims.join(', ')}], ${expected} bytes of elements, but it holds ${found}`);
  }
  return makeNpyTensor(dtype, dims, bytes.subarray(end));
}

function makeNpyTensor<T extends DType>(dtype: T, dims: readonly number[], elements: Uint8Array): Tensor<T> {
  return tensor(dtype, dims, elements.length === 0 ? allocate(dtype, 0) : fromBytes(dtype, elements));
}

/** A float32 tensor as the bytes of a `.npy` file (version 1.0), byte for byte as `numpy.save` writes it. */
export function writeNpy(source: Tensor<'float32'>): Uint8Array {
  const shape = source.dims.length === 1 ? `(${source.dims[0]},)` : `(${source.dims.join(', ')})`;
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': ${shape}, }`;
  const start = Math.ceil((10 + text.length + 1) / NPY_ALIGNMENT) * NPY_ALIGNMENT;
  const elements = getTensorBytes(source);
  const bytes = new Uint8Array(start + elements.length);
  bytes.set(NPY_MAGIC);
  bytes.set([1, 0], 6);
  new DataView(bytes.buffer).setUint16(8, start - 10, true);
  bytes.set(new TextEncoder().encode(`${text.padEnd(start - 11)}\n`), 10);
  bytes.set(elements, start);
  return bytes;
}
