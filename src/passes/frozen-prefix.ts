import { ShiboriError } from '../errors.js';
import { isStatic } from '../graph/dims.js';
import type { Graph, Value } from '../graph/model.js';
import { reachableFrom } from '../graph/uses.js';
import { sizeOf } from '../tensor/dims.js';
import { isFloat } from '../tensor/dtype.js';
import { rewrite, startRewrite } from './rewrite.js';

/** A graph in two parts: what no trained parameter reaches, and the rest. */
export interface FrozenPrefix {
  /** From the graph's input to the cut. `undefined` when nothing before the trained part is worth keeping apart. */
  readonly prefix: Graph | undefined;
  /** From the cut to the graph's outputs; its first input is the cut. */
  readonly suffix: Graph;
  /** Elements of the cut for one image. */
  readonly elements: number;
}

/** Elements per image of a value whose first axis is the batch; `undefined` where they are not fixed. */
function elementsPerImage(value: Value): number | undefined {
  const dims = value.type?.dims.slice(1);
  return dims && isStatic(dims) ? sizeOf(dims) : undefined;
}

/**
 * Splits a graph where a training may start: everything before the cut stays as it is, so it is computed once for each
 * image and kept.
 *
 * The cut is the smallest value per image, of those through which alone the input reaches the trained part: in the
 * study's VGG16 the 2×2 maps of `features.30` (2,048 numbers), not the 25,088 that the adaptive pooling spreads them to.
 *
 * @param trained the initializers that are trained.
 * @throws ShiboriError when no parameter is trained.
 */
export function splitFrozenPrefix(graph: Graph, trained: ReadonlySet<Value>): FrozenPrefix {
  if (trained.size === 0) throw new ShiboriError('No parameter is trained: the pattern fits none.');
  const input = graph.inputs[0];
  if (!input) throw new ShiboriError('The graph has no input.');
  const touched = reachableFrom(graph, trained);
  const fromInput = reachableFrom(graph, graph.inputs);
  // Scans the nodes in order, keeping which frozen activations are still read later on. Where there is only one, all
  // that follows goes through it.
  const lastUse = new Map<Value, number>();
  graph.nodes.forEach((node, i) => {
    for (const value of node.inputs) if (value && fromInput.has(value)) lastUse.set(value, i);
  });
  for (const output of graph.outputs) lastUse.set(output, Number.POSITIVE_INFINITY);
  let cut = input;
  let live = new Set<Value>([input]);
  for (const [i, node] of graph.nodes.entries()) {
    if (!node.outputs.some((output) => output && fromInput.has(output))) continue;
    if (node.outputs.some((output) => output && touched.has(output))) break;
    for (const output of node.outputs) if (output && lastUse.has(output)) live.add(output);
    live = new Set([...live].filter((value) => (lastUse.get(value) ?? -1) > i));
    const [only] = live;
    if (live.size !== 1 || !only?.type || !isFloat(only.type.dtype)) continue;
    // Not where the batch is merged with other axes: records of single images could not be told apart.
    if (only.type.dims[0] !== input.type?.dims[0]) continue;
    const size = elementsPerImage(only);
    const before = elementsPerImage(cut);
    if (size !== undefined && (cut === input || before === undefined || size <= before)) cut = only;
  }
  const elements = elementsPerImage(cut);
  if (elements === undefined)
    throw new ShiboriError(`The dimensions of "${cut.name}" are not fixed: give the input's with --input.`);
  if (cut === input) return { prefix: undefined, suffix: graph, elements };
  const { builder, of } = startRewrite(graph, { cutAt: [cut] });
  for (const output of graph.outputs) builder.output(of(output));
  return { prefix: rewrite(graph, { outputs: [cut] }), suffix: builder.build(graph.name), elements };
}
