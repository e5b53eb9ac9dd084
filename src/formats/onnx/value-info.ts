import type { ShiboriError } from '../../errors.js';
import { findDtype, getElementTypeName, getElementTypeNumber } from '../../graph/element-types.js';
import type { Dim, Value, ValueType } from '../../graph/model.js';
import type { ValueInfoProto } from './proto.js';

/**
 * The type that a file declares for a value, or `undefined` when it leaves the type or the rank open.
 * Throws for what is no tensor or holds elements of an unsupported type.
 */
export function readValueType(
  { name, type }: ValueInfoProto,
  fail: (problem: string) => ShiboriError,
): ValueType | undefined {
  if (!type) return undefined;
  const { tensorType, ...others } = type;
  const [other] = Object.keys(others);
  if (other) {
    throw fail(
      `value "${name}" is not a tensor but of the type ${other.replace('Type', '')}; only tensors are supported.`,
    );
  }
  if (!tensorType?.elemType) return undefined;
  const dtype = findDtype(tensorType.elemType);
  if (!dtype) {
    throw fail(
      `value "${name}" has elements of type ${getElementTypeName(tensorType.elemType)}, which are not supported.`,
    );
  }
  if (!tensorType.shape) return undefined;
  const dims = (tensorType.shape.dim ?? []).map(({ dimValue, dimParam }): Dim => {
    if (dimValue === undefined) return dimParam || '?';
    if (dimValue >= 0 && Number.isSafeInteger(dimValue)) return dimValue;
    throw fail(`value "${name}" has the dimension ${dimValue}. An open dimension has a name, not a number.`);
  });
  return { dtype, dims };
}

/** The declaration of a value. */
export function encodeValueInfoProto({ name, type }: Value): ValueInfoProto {
  if (!type) return { name };
  const dim = type.dims.map((size) => {
    if (typeof size === 'number') return { dimValue: size };
    return size === '?' ? {} : { dimParam: size };
  });
  return { name, type: { tensorType: { elemType: getElementTypeNumber(type.dtype), shape: { dim } } } };
}
