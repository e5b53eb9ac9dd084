/**
 * What small vectors of integers hold, as far as it is known before a graph runs. An exporter computes shapes at run
 * time from the shape of an input, `Concat(Gather(Shape(x), 0), [12])`; with a batch of N that is `["N", 12]`, which
 * types everything after it. Entries are numbers, symbols as dimensions have them, or `"?"`.
 */
import { isStatic } from '../graph/dims.js';
import type { Node, Value, ValueType } from '../graph/model.js';
import { isParameter } from '../graph/parameters.js';
import { countElements } from '../tensor/dims.js';
import { type Tensor, zeros } from '../tensor/tensor.js';
import { type Contents, type ContentsEvaluator, evaluators, MAX_CONTENTS } from './contents-evaluators.js';
import { type Op, readAttributes, readOp } from './table.js';

export type { Contents } from './contents-evaluators.js';

/** The elements of an initializer that a shape may be computed from: no parameter, and short. */
export function readTensorContents(value: Value, tensor: Tensor): Contents | undefined {
  const { dtype, data } = tensor;
  if (data.length > MAX_CONTENTS || dtype === 'float16' || dtype === 'bfloat16') return undefined;
  if (isParameter(value, tensor)) return undefined;
  return Array.from(data as ArrayLike<number | bigint>, Number);
}

/**
 * What the outputs of a node hold, from what its inputs do; `undefined` where nothing is known.
 */
export function inferContents(
  node: Node,
  contents: (index: number) => Contents | undefined,
): readonly (Contents | undefined)[] {
  const op = readOp(node);
  // The table pairs each operator with the evaluator for exactly its attributes; here it is not known which it is.
  const evaluate = evaluators[op] as ContentsEvaluator<Op> | undefined;
  if (!evaluate) return [];
  const dims = (index: number) => node.inputs[index]?.type?.dims;
  return evaluate({
    attributes: readAttributes(op, node),
    node,
    dtype: node.inputs[0]?.type?.dtype,
    contents,
    numbers(index) {
      const known = contents(index);
      return known?.every((entry) => typeof entry === 'number') ? known : undefined;
    },
    dims,
  });
}

/** A tensor of this type that holds `contents`; `undefined` where an entry is not known or the type is not fixed. */
export function makeContentsTensor({ dtype, dims }: ValueType, contents: Contents): Tensor | undefined {
  if (!isStatic(dims) || !isStatic(contents) || countElements(dims) !== contents.length) return undefined;
  if (dtype === 'float16' || dtype === 'bfloat16' || contents.some((entry) => !Number.isFinite(entry)))
    return undefined;
  const tensor = zeros(dtype, dims);
  const { data } = tensor;
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
    for (const [i, entry] of contents.entries()) data[i] = BigInt(entry);
  } else data.set(contents);
  return tensor;
}
