import { bytes, type Fields, float, floats, int, ints, message, messages, packed, string, strings } from './message.js';

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

const stringEntry: Fields<StringEntryProto> = { key: string(1), value: string(2) };

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
  dims: ints(1),
  dataType: int(2),
  segment: bytes(3),
  floatData: packed(4),
  int32Data: packed(5),
  int64Data: packed(7),
  name: string(8),
  rawData: bytes(9),
  doubleData: packed(10),
  uint64Data: packed(11),
  externalData: messages(13, () => stringEntry),
  dataLocation: int(14),
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

const dimension: Fields<DimensionProto> = { dimValue: int(1), dimParam: string(2) };
const shape: Fields<ShapeProto> = { dim: messages(1, () => dimension) };
const tensorType: Fields<TensorTypeProto> = { elemType: int(1), shape: message(2, () => shape) };
const type: Fields<TypeProto> = {
  tensorType: message(1, () => tensorType),
  sequenceType: bytes(4),
  mapType: bytes(5),
  opaqueType: bytes(7),
  sparseTensorType: bytes(8),
  optionalType: bytes(9),
};
const valueInfo: Fields<ValueInfoProto> = { name: string(1), type: message(2, () => type) };

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

const attribute: Fields<AttributeProto> = {
  name: string(1),
  f: float(2),
  i: int(3),
  s: string(4),
  t: message(5, () => tensorFields),
  g: message(6, () => graph),
  floats: floats(7),
  ints: ints(8),
  strings: strings(9),
  type: int(20),
  refAttrName: string(21),
};

const node: Fields<NodeProto> = {
  input: strings(1),
  output: strings(2),
  name: string(3),
  opType: string(4),
  attribute: messages(5, () => attribute),
  domain: string(7),
  overload: string(8),
};

const graph: Fields<GraphProto> = {
  node: messages(1, () => node),
  name: string(2),
  initializer: messages(5, () => tensorFields),
  docString: bytes(10),
  input: messages(11, () => valueInfo),
  output: messages(12, () => valueInfo),
  valueInfo: messages(13, () => valueInfo),
  sparseInitializer: packed(15),
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

const operatorSet: Fields<OperatorSetProto> = { domain: string(1), version: int(2) };
const functionFields: Fields<FunctionProto> = { name: string(1), domain: string(10) };

export const modelFields: Fields<ModelProto> = {
  irVersion: int(1),
  producerName: string(2),
  producerVersion: string(3),
  domain: string(4),
  modelVersion: int(5),
  docString: bytes(6),
  graph: message(7, () => graph),
  opsetImport: messages(8, () => operatorSet),
  metadataProps: messages(14, () => stringEntry),
  functions: messages(25, () => functionFields),
};
