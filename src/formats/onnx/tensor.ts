import { ShiboriError } from '../../errors.js';
import {
  findDtype,
  getElementTypeName,
  getElementTypeNumber,
  supportedElementTypes,
} from '../../graph/element-types.js';
import { allocate, type DType, type DTypeArrays, fromBytes, getBytesPerElement } from '../../tensor/dtype.js';
import { getTensorBytes, type Tensor, tensor } from '../../tensor/tensor.js';
import { defined } from '../../values.js';
import { type ExternalLocation, type ExternalReader, encodeExternalData, parseExternalData } from './external.js';
import { decodeMessage } from './message.js';
import { type TensorProto, tensorFields } from './proto.js';
import { toPlainBytes, WireReader } from './wire-reader.js';
import { concatenate } from './wire-writer.js';

/** Describes where tensors come from: the file, for errors, and the files next to it. */
export interface TensorSource {
  readonly file: string;
  readonly external?: ExternalReader | undefined;
}

/** The field that holds the elements of each type when they are not raw bytes. */
function getTypedField(dtype: DType): 'floatData' | 'doubleData' | 'int64Data' | 'uint64Data' | 'int32Data' {
  if (dtype === 'float32') return 'floatData';
  if (dtype === 'float64') return 'doubleData';
  if (dtype === 'int64') return 'int64Data';
  return dtype === 'uint64' || dtype === 'uint32' ? 'uint64Data' : 'int32Data';
}

const typedFields = ['floatData', 'doubleData', 'int64Data', 'uint64Data', 'int32Data'] as const;

/** The tensor of a file that holds one tensor alone (`.pb`), as ONNX's test cases do. */
export function readOnnxTensor(bytes: Uint8Array, file: string): Tensor {
  return decodeTensor(decodeMessage(tensorFields, new WireReader(bytes, file)), 'the tensor', { file });
}

/**
 * The tensor that a message describes. A view into the file where its bytes are aligned, otherwise a copy; nothing is
 * allocated before the bytes are known to be there.
 *
 * @param what names the tensor in errors: `initializer "conv.weight"`.
 */
export function decodeTensor(proto: TensorProto, what: string, source: TensorSource): Tensor {
  const fail = (problem: string) =>
    new ShiboriError(`Cannot read ${source.file}: ${what}: ${problem}`, { code: 'invalid-file' });
  const dtype = findDtype(proto.dataType ?? 0);
  if (!dtype) {
    throw fail(
      `elements of type ${getElementTypeName(proto.dataType ?? 0)} are not supported. Supported: ${supportedElementTypes}.`,
    );
  }
  const dims = proto.dims ?? [];
  const bad = dims.find((dim) => dim < 0 || !Number.isSafeInteger(dim));
  if (bad !== undefined) throw fail(`${bad} is no dimension (of [${dims.join(', ')}]).`);
  if (proto.segment) throw fail('tensors stored in segments are not supported. Save the model without them.');
  // May be infinite: it is only compared with a number of bytes that are really there.
  const count = dims.includes(0) ? 0 : dims.reduce((product, dim) => product * dim, 1);
  const expect = (found: number, unit: string, expected: number) => {
    if (found === expected) return;
    throw fail(`a ${dtype} tensor [${dims.join(', ')}] needs ${expected} ${unit}, found ${found}.`);
  };

  const size = count * getBytesPerElement(dtype);
  const typed = typedFields.filter((field) => proto[field]?.some((segment) => segment.length > 0));
  if (typed.length + (proto.rawData?.length ? 1 : 0) + (proto.dataLocation === 1 ? 1 : 0) > 1) {
    throw fail('its elements are stored twice.');
  }
  let data: DTypeArrays[DType];
  if (proto.dataLocation === 1) {
    data = fromBytes(dtype, readExternalBytes(proto, size, source, fail, expect));
  } else if (typed.length === 0) {
    const raw = proto.rawData ?? new Uint8Array(0);
    expect(raw.length, 'bytes', size);
    data = fromBytes(dtype, raw);
  } else {
    const field = getTypedField(dtype);
    const segments = proto[field] ?? [];
    if (dtype === 'float32' || dtype === 'float64') {
      expect(countSegmentBytes(segments), 'bytes', size);
      const [first = new Uint8Array(0)] = segments;
      data = fromBytes(dtype, segments.length === 1 ? first : concatenate(segments));
    } else {
      // Every integer takes at least one byte.
      if (count > countSegmentBytes(segments)) expect(countSegmentBytes(segments), 'elements or more', count);
      data = decodeVarints(dtype, count, segments, source.file, fail, (found) => expect(found, 'elements', count));
    }
  }
  if (dtype === 'bool' && data.some((element) => Number(element) > 1)) throw fail('its elements are not all 0 or 1.');
  return tensor(dtype, dims, data);
}

function countSegmentBytes(segments: readonly Uint8Array[]): number {
  return segments.reduce((total, segment) => total + segment.length, 0);
}

function readExternalBytes(
  proto: TensorProto,
  size: number,
  source: TensorSource,
  fail: (problem: string) => ShiboriError,
  expect: (found: number, unit: string, expected: number) => void,
): Uint8Array {
  const { location, offset, length } = parseExternalData(proto.externalData ?? [], fail);
  if (length !== undefined) expect(length, 'bytes', size);
  if (!source.external) {
    throw fail(`its elements are in the file "${location}", which is not at hand. Open the model by its path.`);
  }
  const found = toPlainBytes(source.external(location, offset, size));
  expect(found.length, 'bytes', size);
  return found;
}

/** Decodes exactly `count` packed integers. */
function decodeVarints<T extends DType>(
  dtype: T,
  count: number,
  segments: readonly Uint8Array[],
  file: string,
  fail: (problem: string) => ShiboriError,
  expectCount: (found: number) => void,
): DTypeArrays[T] {
  const data = allocate(dtype, count);
  let found = 0;
  for (const segment of segments) {
    const reader = new WireReader(segment, file);
    while (!reader.done) {
      const value = reader.varint();
      if (found < count) setElement(data, found, value, dtype === 'uint64' || dtype === 'uint32', fail);
      found++;
    }
  }
  expectCount(found);
  return data;
}

function setElement(
  data: DTypeArrays[DType],
  index: number,
  value: number | bigint,
  unsigned: boolean,
  fail: (problem: string) => ShiboriError,
): void {
  const signed = typeof value === 'bigint' && !unsigned ? BigInt.asIntN(64, value) : value;
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
    data[index] = BigInt(signed);
    return;
  }
  data[index] = Number(signed);
  if (data[index] !== Number(signed)) throw fail(`element ${index} is ${signed}, which its type cannot hold.`);
}

/** The message of a tensor; its elements are the tensor's own memory, or elsewhere when `external` says so. */
export function encodeTensorProto(source: Tensor, name?: string, external?: ExternalLocation): TensorProto {
  return {
    dims: [...source.dims],
    dataType: getElementTypeNumber(source.dtype),
    ...defined({ name }),
    ...(external
      ? { externalData: encodeExternalData(external), dataLocation: 1 }
      : { rawData: getTensorBytes(source) }),
  };
}
