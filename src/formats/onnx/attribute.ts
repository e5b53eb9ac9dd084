import type { ShiboriError } from '../../errors.js';
import type { Attribute, Graph } from '../../graph/model.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { AttributeProto, GraphProto, TensorProto } from './proto.js';
import { encodeTensorProto } from './tensor.js';

/** `AttributeProto.AttributeType`. */
const attributeTypes = {
  float: 1,
  int: 2,
  string: 3,
  tensor: 4,
  graph: 5,
  floats: 6,
  ints: 7,
  strings: 8,
} as const satisfies Record<Attribute['type'], number>;

/** How an attribute's tensors and graphs are read, and how errors are made. */
export interface AttributeReader {
  tensor(proto: TensorProto): Tensor;
  graph(proto: GraphProto): Graph;
  fail(problem: string): ShiboriError;
}

/** The attribute that a message describes. Throws for the types that no operator of ONNX's own domain needs here. */
export function decodeAttribute(proto: AttributeProto, reader: AttributeReader): Attribute {
  if (proto.refAttrName) throw reader.fail('it refers to an attribute of a function, outside of any function.');
  switch (proto.type || findUntaggedType(proto)) {
    case attributeTypes.float:
      return { type: 'float', value: proto.f ?? 0 };
    case attributeTypes.int:
      return { type: 'int', value: proto.i ?? 0 };
    case attributeTypes.string:
      return { type: 'string', value: proto.s ?? '' };
    case attributeTypes.floats:
      return { type: 'floats', value: proto.floats ?? [] };
    case attributeTypes.ints:
      return { type: 'ints', value: proto.ints ?? [] };
    case attributeTypes.strings:
      return { type: 'strings', value: proto.strings ?? [] };
    case attributeTypes.tensor:
      if (!proto.t) throw reader.fail('it holds no tensor.');
      return { type: 'tensor', value: reader.tensor(proto.t) };
    case attributeTypes.graph:
      if (!proto.g) throw reader.fail('it holds no graph.');
      return { type: 'graph', value: reader.graph(proto.g) };
    default:
      throw reader.fail(`its type ${proto.type ?? 0} is not one of ${Object.keys(attributeTypes).join(', ')}.`);
  }
}

/** The type of an attribute in a file of IR version 1, which does not say it. */
function findUntaggedType(proto: AttributeProto): number | undefined {
  if (proto.f !== undefined) return attributeTypes.float;
  if (proto.i !== undefined) return attributeTypes.int;
  if (proto.s !== undefined) return attributeTypes.string;
  if (proto.t !== undefined) return attributeTypes.tensor;
  if (proto.g !== undefined) return attributeTypes.graph;
  if (proto.floats !== undefined) return attributeTypes.floats;
  if (proto.ints !== undefined) return attributeTypes.ints;
  return proto.strings === undefined ? undefined : attributeTypes.strings;
}

/** The message of an attribute; `graph` encodes the graphs inside. */
export function encodeAttributeProto(
  name: string,
  attribute: Attribute,
  graph: (inner: Graph) => GraphProto,
): AttributeProto {
  const tagged = { name, type: attributeTypes[attribute.type] };
  switch (attribute.type) {
    case 'float':
      return { ...tagged, f: attribute.value };
    case 'int':
      return { ...tagged, i: attribute.value };
    case 'string':
      return { ...tagged, s: attribute.value };
    case 'tensor':
      return { ...tagged, t: encodeTensorProto(attribute.value) };
    case 'graph':
      return { ...tagged, g: graph(attribute.value) };
    case 'floats':
      return { ...tagged, floats: [...attribute.value] };
    case 'ints':
      return { ...tagged, ints: [...attribute.value] };
    case 'strings':
      return { ...tagged, strings: [...attribute.value] };
  }
}
