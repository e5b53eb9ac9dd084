/*
 * Files that were exported for one batch size say it in their Reshape nodes too. Where the input's batch is a symbol
 * now, the shapes they reshape to take it over: 0 copies the first dimension, -1 leaves it to the others. Constants that
 * are joined to the batch along another axis are repeated for every image.
 */
import { ShiboriError } from '../errors.js';
import { divideDims, multiplyDims } from '../graph/dims.js';
import type { Dim, Graph, Node, Value } from '../graph/model.js';
import { findReachable } from '../graph/uses.js';
import type { GraphBuilder } from '../ops/builder.js';
import { int64 } from '../tensor/tensor.js';
import { getNumberAttribute } from './node-attributes.js';
import type { PassResult } from './pass.js';
import { bindInputs, rewrite } from './rewrite.js';

/** The symbol of a batch that was freed. */
const BATCH_SYMBOL = 'N';

/** The shape to reshape to, of any batch; `undefined` when it stays as it is. */
function computeFreedShape(
  shape: readonly number[],
  dims: readonly Dim[],
  batch: string,
  old: number,
): number[] | undefined {
  const [first, ...rest] = shape;
  if (first !== old) return undefined;
  if (dims[0] === batch) return [0, ...rest];
  if (rest.some((size) => size < 1)) return undefined;
  return divideDims(multiplyDims(dims), multiplyDims(rest)) === batch ? [-1, ...rest] : undefined;
}

const isBatched = (value: Value | undefined, batch: string): boolean => value?.type?.dims[0] === batch;

/**
 * Returns what is concatenated along another axis, as a class token to the patches: constants of a batch of 1 are
 * repeated for every image. `undefined` when there is nothing to repeat.
 */
function repeatForBatch(inputs: readonly (Value | undefined)[], batch: string, b: GraphBuilder): Value[] | undefined {
  const values = inputs.filter((value) => value !== undefined);
  const batched = values.find((value) => isBatched(value, batch));
  if (!batched || values.every((value) => isBatched(value, batch))) return undefined;
  const count = b.op('Shape', [batched], { start: 0, end: 1 }, { name: 'batch' });
  return values.map((value) => {
    const { dims } = value.type ?? {};
    if (dims?.[0] !== 1) return value;
    const shape = b.op('Concat', [count, b.ints(dims.slice(1).map(() => 1))], { axis: 0 }, { name: 'batch' });
    return b.op('Expand', [value, shape], {}, { name: 'batch' });
  });
}

/** Returns whether a node still concatenates to the batch something that is not of its size. */
function mixesBatch({ op, inputs, attributes }: Node, batch: string): boolean {
  if (op !== 'Concat' || getNumberAttribute(attributes, 'axis') === 0) return false;
  return inputs.some((input) => isBatched(input, batch)) && !inputs.every((input) => isBatched(input, batch));
}

/**
 * Makes the results of a typed graph depend on the symbolic batch `batch` that its input has, where the file had the
 * number `old`.
 *
 * @returns the graph, or the unchanged one with a note that names the first node with a result of the old batch.
 */
export function freeBatch(graph: Graph, batch: string, old: number): PassResult {
  const keepFixed = (by: Node | undefined): PassResult => {
    const text = by ? `node "${by.name}" (${by.op})` : 'its outputs';
    return { graph, notes: [{ ...(by ? { node: by.name } : {}), applied: false, text }] };
  };
  const freed = rewrite(graph, {
    node(node, inputs, builder) {
      if (node.op === 'Concat' && getNumberAttribute(node.attributes, 'axis') !== 0) {
        const values = repeatForBatch(inputs, batch, builder);
        return values && builder.copy(node, values);
      }
      const [x, shape] = inputs;
      const wanted = shape && builder.findTensor(shape);
      if (node.op !== 'Reshape' || !x?.type || !wanted || getNumberAttribute(node.attributes, 'allowzero') === 1)
        return;
      const target = computeFreedShape(Array.from(wanted.data, Number), x.type.dims, batch, old);
      return target && builder.copy(node, [x, builder.initializer(`constant/${node.name}/shape`, int64(target))]);
    },
  });
  const mixing = freed.nodes.find((node) => mixesBatch(node, batch));
  if (mixing) return keepFixed(mixing);
  if (freed.outputs.every((output) => output.type?.dims[0] === batch)) return { graph: freed, notes: [] };
  const images = findReachable(freed, freed.inputs);
  const loses = freed.nodes.find(({ inputs, outputs }) => {
    const has = inputs.some((input) => input?.type?.dims[0] === batch);
    return has && outputs.some((output) => output && images.has(output) && output.type?.dims[0] !== batch);
  });
  return keepFixed(loses);
}

/**
 * Binds the images of a graph to a symbolic batch where the graph runs for any. A graph in which a node fixes the batch
 * stays as it is, and runs in pieces of that size; the note says which node.
 */
export function bindSymbolicBatch(graph: Graph): PassResult {
  const [input] = graph.inputs;
  const [batch, ...dims] = input?.type?.dims ?? [];
  if (!input || batch === undefined) return { graph: bindInputs(graph), notes: [] };
  const bind = () => bindInputs(graph, { [input.name]: [BATCH_SYMBOL, ...dims] });
  if (typeof batch !== 'number') return { graph: bind(), notes: [] };
  try {
    const freed = freeBatch(bind(), BATCH_SYMBOL, batch);
    return freed.notes.length === 0 ? freed : { ...freed, graph };
  } catch (error) {
    // Dimensions that no longer fit each other: a node fixes the batch.
    if (error instanceof ShiboriError) return { graph, notes: [{ applied: false, text: error.message }] };
    throw error;
  }
}
