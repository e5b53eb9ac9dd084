import { countElementsPer } from '../graph/dims.js';
import type { Dim, Node } from '../graph/model.js';
import { getSpec, readAttributes, readOp } from './table.js';

/**
 * Counts the MACs of a node; 0 for operators that move or compare, and where dimensions are not known.
 *
 * @param batch what symbol counts as one. Default: none, dimensions must be static.
 */
export function countNodeMacs(node: Node, batch?: Dim): number {
  const sized = (dims: readonly Dim[] | undefined): number[] | undefined => {
    const sizes = dims?.map((dim) =>
      typeof dim === 'number' || batch === undefined ? dim : countElementsPer(batch, [dim]),
    );
    return sizes?.every((size): size is number => typeof size === 'number') ? sizes : undefined;
  };
  const op = readOp(node);
  const output = sized(node.outputs[0]?.type?.dims);
  if (!output) return 0;
  const inputs = node.inputs.map((input) => sized(input?.type?.dims) ?? []);
  return getSpec(op).countOperatorMacs?.(readAttributes(op, node), inputs, output) ?? 0;
}
