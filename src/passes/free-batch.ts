/*
 * Files that were exported for one batch size say it in their Reshape nodes too. Where the input's batch is a symbol
 * now, the shapes they reshape to take it over: 0 copies the first dimension, -1 leaves it to the others.
 */
import { divide, productOf } from '../graph/dims.js';
import type { Dim, Graph, Node } from '../graph/model.js';
import { reachableFrom } from '../graph/uses.js';
import { int64 } from '../tensor/tensor.js';
import { rewrite } from './rewrite.js';

/** A graph whose results have the symbolic batch, or the node that holds on to the old one. */
export type FreedBatch = { readonly graph: Graph } | { readonly fixedBy: string };

/** The shape to reshape to, of any batch; `undefined` when it stays as it is. */
function freedShape(shape: readonly number[], dims: readonly Dim[], batch: string, old: number): number[] | undefined {
  const [first, ...rest] = shape;
  if (first !== old) return undefined;
  if (dims[0] === batch) return [0, ...rest];
  if (rest.some((size) => size < 1)) return undefined;
  return divide(productOf(dims), productOf(rest)) === batch ? [-1, ...rest] : undefined;
}

/** Whether a node brings the batch together with something that has none, which runs for a batch of 1 alone. */
function mixesBatch({ op, inputs, attributes }: Node, batch: string): boolean {
  const axis = attributes.axis;
  if (op !== 'Concat' || (axis?.type === 'int' && axis.value === 0)) return false;
  const first = inputs.map((input) => input?.type?.dims[0]);
  return first.includes(batch) && first.some((dim) => dim !== batch);
}

/**
 * Frees the batch of a typed graph whose input has the symbol `batch` where the file had `old`.
 *
 * @returns the graph, or the first node with a result that does not have the batch any more.
 */
export function freeBatch(graph: Graph, batch: string, old: number): FreedBatch {
  const freed = rewrite(graph, {
    node(node, inputs, builder) {
      const [x, shape] = inputs;
      const wanted = shape && builder.tensorOf(shape);
      const keepsZero = node.attributes.allowzero;
      if (node.op !== 'Reshape' || !x?.type || !wanted || (keepsZero?.type === 'int' && keepsZero.value === 1)) return;
      const target = freedShape(Array.from(wanted.data, Number), x.type.dims, batch, old);
      return target && builder.copy(node, [x, builder.initializer(`constant/${node.name}/shape`, int64(target))]);
    },
  });
  const mixing = freed.nodes.find((node) => mixesBatch(node, batch));
  if (mixing) return { fixedBy: describe(mixing) };
  if (freed.outputs.every((output) => output.type?.dims[0] === batch)) return { graph: freed };
  const images = reachableFrom(freed, freed.inputs);
  const loses = freed.nodes.find(({ inputs, outputs }) => {
    const has = inputs.some((input) => input?.type?.dims[0] === batch);
    return has && outputs.some((output) => output && images.has(output) && output.type?.dims[0] !== batch);
  });
  return { fixedBy: loses ? describe(loses) : 'its outputs' };
}

const describe = ({ name, op }: Node): string => `node "${name}" (${op})`;
