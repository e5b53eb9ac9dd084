/*
 * Whether a graph brings the pixels of its input down from 0…255 itself, as the Rescaling and Normalization layers of
 * Keras do. Works on graphs straight from a file, whose types are not inferred yet.
 */
import type { Graph, Value } from '../graph/model.js';
import { findUses } from '../graph/uses.js';
import { createConstantLookup } from './image-layout.js';

/** Operators that leave numbers as they are. */
const KEEPING: ReadonlySet<string> = new Set(['Identity', 'Cast', 'CastLike', 'Transpose', 'Unsqueeze', 'Squeeze']);

/** No mean or deviation of pixels in 0…1 or -1…1 is as large, and none of 0…255 is much smaller. */
const LARGE = 16;

/** Tells whether all that is done first with `input` is a division by, or a subtraction of, numbers that only suit 0…255. */
export function rescalesPixels(graph: Graph, input: Value): boolean {
  const uses = findUses(graph);
  const constants = createConstantLookup(graph);
  const large = (value: Value | undefined) => {
    const values = constants(value)?.values ?? [];
    return values.length > 0 && values.every((each) => Math.abs(each) >= LARGE);
  };
  const small = (value: Value | undefined) => {
    const values = constants(value)?.values ?? [];
    return values.length > 0 && values.every((each) => each !== 0 && Math.abs(each) <= 1 / LARGE);
  };
  let value = input;
  for (let readers = uses.consumers(value); readers.length === 1; readers = uses.consumers(value)) {
    const [node] = readers;
    if (!node) return false;
    const [output] = node.outputs;
    if (KEEPING.has(node.op) && output) {
      value = output;
      continue;
    }
    const other = node.inputs[0] === value ? node.inputs[1] : node.inputs[0];
    if (node.op === 'Mul') return small(other);
    if (node.op === 'Add') return large(other);
    if (node.op === 'Div' || node.op === 'Sub') return node.inputs[0] === value && large(other);
    return node.op === 'BatchNormalization' && large(node.inputs[3]);
  }
  return false;
}
