import {
  bytesField,
  type Fields,
  floatField,
  floatsField,
  intField,
  intsField,
  messageField,
  messagesField,
  packedField,
  stringField,
  stringsField,
} from './message.js';

/*
 * The messages of ONNX, field numbers verbatim from onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto),
 * in the order of their numbers, in which they are also written. What is only recognised in order to be refused
 * (sparse tensors, type attributes) is left as bytes, as are documentation texts, which may hold any. Those of nodes,
 * values and tensors are not read.
 */

export interface StringEntryProto {
  key?: string;
  value?: string;
}

const stringEntryFields: Fields<StringEntryProto> = { key: stringField(1), value: stringField(2) };

export interface TensorProto {
  dims?: number[];
  dataType?: number;
  segment?: Uint8Array;
  floatData?: Uint8Array[];
  int32Data?: Uint8Array[];
  int64Data?: Uint8Array[];
  name?: string;
  rawData?: Uint8Array;
  doubleData?: Uint8Array[];
  uint64Data?: Uint8Array[];
  externalData?: StringEntryProto[];
  dataLocation?: number;
}

export const tensorFields: Fields<TensorProto> = {
  dims: intsField(1),
  dataType: intField(2),
  segment: bytesField(3),
  floatData: packedField(4),
  int32Data: packedField(5),
  int64Data: packedField(7),
  name: stringField(8),
  rawData: bytesField(9),
  doubleData: packedField(10),
  uint64Data: packedField(11),
  externalData: messagesField(13, () => stringEntryFields),
  dataLocation: intField(14),
};

export interface DimensionProto {
  dimValue?: number;
  dimParam?: string;
}

export interface ShapeProto {
  dim?: DimensionProto[];
}

export interface TensorTypeProto {
  elemType?: number;
  shape?: ShapeProto;
}

export interface TypeProto {
  tensorType?: TensorTypeProto;
  sequenceType?: Uint8Array;
  mapType?: Uint8Array;
  opaqueType?: Uint8Array;
  sparseTensorType?: Uint8Array;
  optionalType?: Uint8Array;
}

export interface ValueInfoProto {
  name?: string;
  type?: TypeProto;
}

const dimensionFields: Fields<DimensionProto> = { dimValue: intField(1), dimParam: stringField(2) };
const shapeFields: Fields<ShapeProto> = { dim: messagesField(1, () => dimensionFields) };
const tensorTypeFields: Fields<TensorTypeProto> = { elemType: intField(1), shape: messageField(2, () => shapeFields) };
const typeFields: Fields<TypeProto> = {
  tensorType: messageField(1, () => tensorTypeFields),
  sequenceType: bytesField(4),
  mapType: bytesField(5),
  opaqueType: bytesField(7),
  sparseTensorType: bytesField(8),
  optionalType: bytesField(9),
};
const valueInfoFields: Fields<ValueInfoProto> = { name: stringField(1), type: messageField(2, () => typeFields) };

export interface AttributeProto {
  name?: string;
  f?: number;
  i?: number;
  s?: string;
  t?: TensorProto;
  g?: GraphProto;
  floats?: number[];
  ints?: number[];
  strings?: string[];
  type?: number;
  refAttrName?: string;
}

export interface NodeProto {
  input?: string[];
  output?: string[];
  name?: string;
  opType?: string;
  attribute?: AttributeProto[];
  domain?: string;
  overload?: string;
}

export interface GraphProto {
  node?: NodeProto[];
  name?: string;
  initializer?: TensorProto[];
  input?: ValueInfoProto[];
  output?: ValueInfoProto[];
  valueInfo?: ValueInfoProto[];
  sparseInitializer?: Uint8Array[];
  docString?: Uint8Array;
}

const attributeFields: Fields<AttributeProto> = {
  name: stringField(1),
  f: floatField(2),
  i: intField(3),
  s: stringField(4),
  t: messageField(5, () => tensorFields),
  g: messageField(6, () => graphFields),
  floats: floatsField(7),
  ints: intsField(8),
  strings: stringsField(9),
  type: intField(20),
  refAttrName: stringField(21),
};

const nodeFields: Fields<NodeProto> = {
  input: stringsField(1),
  output: stringsField(2),
  name: stringField(3),
  opType: stringField(4),
  attribute: messagesField(5, () => attributeFields),
  domain: stringField(7),
  overload: stringField(8),
};

const graphFields: Fields<GraphProto> = {
  node: messagesField(1, () => nodeFields),
  name: stringField(2),
  initializer: messagesField(5, () => tensorFields),
  docString: bytesField(10),
  input: messagesField(11, () => valueInfoFields),
  output: messagesField(12, () => valueInfoFields),
  valueInfo: messagesField(13, () => valueInfoFields),
  sparseInitializer: packedField(15),
};

export interface OperatorSetProto {
  domain?: string;
  version?: number;
}

export interface FunctionProto {
  name?: string;
  domain?: string;
}

export interface ModelProto {
  irVersion?: number;
  producerName?: string;
  producerVersion?: string;
  domain?: string;
  modelVersion?: number;
  docString?: Uint8Array;
  graph?: GraphProto;
  opsetImport?: OperatorSetProto[];
  metadataProps?: StringEntryProto[];
  functions?: FunctionProto[];
}

const operatorSetFields: Fields<OperatorSetProto> = { domain: stringField(1), version: intField(2) };
const functionFields: Fields<FunctionProto> = { name: stringField(1), domain: stringField(10) };

export const modelFields: Fields<ModelProto> = {
  irVersion: intField(1),
  producerName: stringField(2),
  producerVersion: stringField(3),
  domain: stringField(4),
  modelVersion: intField(5),
  docString: bytesField(6),
  graph: messageField(7, () => graphFields),
  opsetImport: messagesField(8, () => operatorSetFields),
  metadataProps: messagesField(14, () => stringEntryFields),
  functions: messagesField(25, () => functionFields),
};
