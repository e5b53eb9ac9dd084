/** Constants and casts in the element type of the values that they meet: what rules and rewrites are written with. */
import { getElementTypeNumber } from '../graph/element-types.js';
import type { Value } from '../graph/model.js';
import type { GraphBuilder } from './builder.js';

/** `value` converted to the element type of `like`; itself when it has that type already. */
export function castLike(builder: GraphBuilder, value: Value, like: Value): Value {
  const dtype = like.type?.dtype;
  return value.type?.dtype === dtype
    ? value
    : builder.op('Cast', [value], { to: getElementTypeNumber(dtype ?? 'float32') });
}

/** A scalar constant in the element type of `like`. */
export function numberLike(builder: GraphBuilder, number: number, like: Value): Value {
  return castLike(builder, builder.scalar(number, like.type?.dtype === 'float64' ? 'float64' : 'float32'), like);
}

/** `value` times a number; itself for 1. */
export function scaleBy(builder: GraphBuilder, value: Value, factor: number): Value {
  return factor === 1 ? value : builder.op('Mul', [value, numberLike(builder, factor, value)]);
}
