/** Attributes as a file has them, read without knowing the operator. */
import type { Attribute, Node } from '../graph/model.js';
import { float32, int64, type Tensor } from '../tensor/tensor.js';

type NodeAttributes = Readonly<Record<string, Attribute>>;

export function getIntsAttribute(attributes: NodeAttributes, name: string): readonly number[] | undefined {
  const attribute = attributes[name];
  return attribute?.type === 'ints' ? attribute.value : undefined;
}

export function getNumberAttribute(attributes: NodeAttributes, name: string): number | undefined {
  const attribute = attributes[name];
  return attribute?.type === 'float' || attribute?.type === 'int' ? attribute.value : undefined;
}

export function getStringAttribute(attributes: NodeAttributes, name: string): string | undefined {
  const attribute = attributes[name];
  return attribute?.type === 'string' ? attribute.value : undefined;
}

/** Keeps an integer in range: the largest int64 comes as 2^63, the nearest number to it. */
export const clampInteger = (value: number): number => Math.min(value, Number.MAX_SAFE_INTEGER);

/** Reads the tensor that a Constant node makes; `undefined` for other nodes and for what no tensor holds (strings). */
export function readConstantTensor({ op, domain, attributes }: Node): Tensor | undefined {
  if (op !== 'Constant' || domain !== '') return undefined;
  const [attribute] = Object.values(attributes);
  switch (attribute?.type) {
    case 'tensor':
      return attribute.value;
    case 'float':
      return float32([attribute.value], []);
    case 'floats':
      return float32(attribute.value);
    case 'int':
      return int64([clampInteger(attribute.value)], []);
    case 'ints':
      return int64(attribute.value.map(clampInteger));
    default:
      return undefined;
  }
}
