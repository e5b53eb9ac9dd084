import type { DType } from '../tensor/dtype.js';

/** `TensorProto.DataType`, verbatim; `undefined` where ONNX has an element type that tensors here cannot hold. */
const elementTypes: readonly (readonly [name: string, dtype: DType | undefined])[] = [
  ['UNDEFINED', undefined],
  ['FLOAT', 'float32'],
  ['UINT8', 'uint8'],
  ['INT8', 'int8'],
  ['UINT16', 'uint16'],
  ['INT16', 'int16'],
  ['INT32', 'int32'],
  ['INT64', 'int64'],
  ['STRING', undefined],
  ['BOOL', 'bool'],
  ['FLOAT16', 'float16'],
  ['DOUBLE', 'float64'],
  ['UINT32', 'uint32'],
  ['UINT64', 'uint64'],
  ['COMPLEX64', undefined],
  ['COMPLEX128', undefined],
  ['BFLOAT16', 'bfloat16'],
  ['FLOAT8E4M3FN', undefined],
  ['FLOAT8E4M3FNUZ', undefined],
  ['FLOAT8E5M2', undefined],
  ['FLOAT8E5M2FNUZ', undefined],
  ['UINT4', undefined],
  ['INT4', undefined],
  ['FLOAT4E2M1', undefined],
  ['FLOAT8E8M0', undefined],
  ['UINT2', undefined],
  ['INT2', undefined],
];

/** The element type with this number, or `undefined` when tensors here cannot hold it. */
export function findDtype(elementType: number): DType | undefined {
  return elementTypes[elementType]?.[1];
}

/** ONNX's name of an element type, for messages. */
export function getElementTypeName(elementType: number): string {
  return elementTypes[elementType]?.[0] ?? `number ${elementType}`;
}

/** ONNX's number of an element type. */
export function getElementTypeNumber(dtype: DType): number {
  return elementTypes.findIndex(([, known]) => known === dtype);
}

/** The element types that can be read, for messages. */
export const supportedElementTypes = elementTypes.flatMap(([name, dtype]) => (dtype ? [name] : [])).join(', ');
