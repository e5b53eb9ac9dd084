/** Attributes as a file has them, read without knowing the operator. */
import type { Attribute } from '../graph/model.js';

type Attributes = Readonly<Record<string, Attribute>>;

export function intsOf(attributes: Attributes, name: string): readonly number[] | undefined {
  const attribute = attributes[name];
  return attribute?.type === 'ints' ? attribute.value : undefined;
}

export function numberOf(attributes: Attributes, name: string): number | undefined {
  const attribute = attributes[name];
  return attribute?.type === 'float' || attribute?.type === 'int' ? attribute.value : undefined;
}

export function stringOf(attributes: Attributes, name: string): string | undefined {
  const attribute = attributes[name];
  return attribute?.type === 'string' ? attribute.value : undefined;
}
