import { ShiboriError } from '../errors.js';
import { isStatic } from '../graph/dims.js';
import type { Graph, Value } from '../graph/model.js';
import { listParameters } from '../graph/parameters.js';
import { findReachable, listNodesFor } from '../graph/uses.js';
import { countElements } from '../tensor/dims.js';
import { isFloat } from '../tensor/dtype.js';
import { rewrite } from './rewrite.js';

/** A graph in two parts: what no trained parameter reaches, and the rest. */
export interface FrozenSplit {
  /** From the graph's input to the cut, its only output. `undefined` when nothing before the cut is frozen. */
  readonly prefix: Graph | undefined;
  /** From the cut, its only input, to the graph's outputs. */
  readonly suffix: Graph;
  /** The value of the whole graph at which it is cut; the graph's input when there is no prefix. */
  readonly cut: Value;
  /** Elements of the cut for one image. */
  readonly elementsPerImage: number;
}

/** Elements per image of a value whose first axis is the batch; `undefined` for any other value. */
function countElementsPerImage(value: Value, input: Value): number | undefined {
  const [batch, ...dims] = value.type?.dims ?? [];
  return batch === input.type?.dims[0] && isStatic(dims) ? countElements(dims) : undefined;
}

/**
 * Splits a graph where a training may start: everything before the cut stays as it is, so it is computed once for each
 * image and kept.
 *
 * The cut is the smallest value per image, of those through which alone the input reaches the trained part: in the
 * reference VGG16 the 2×2 maps of `features.30` (2,048 numbers), not the 25,088 that the adaptive pooling spreads them to.
 * Where frozen parameters are on several ways around the trained ones, the ways part after the cut, at the latest at the
 * input.
 *
 * @param trained the initializers that are trained.
 * @param kept values that the rest of the graph must still have. Default: none.
 * @throws ShiboriError when no parameter is trained, when the graph does not have one input, or when the input's
 *   dimensions beyond the batch are not fixed.
 */
export function splitFrozenPrefix(graph: Graph, trained: ReadonlySet<Value>, kept: readonly Value[] = []): FrozenSplit {
  if (trained.size === 0)
    throw new ShiboriError('No parameter is trained: the pattern fits none.', { code: 'unsupported-model' });
  const [input, second] = graph.inputs;
  if (!input || second) {
    const names = graph.inputs.map(({ name }) => `"${name}"`).join(', ');
    throw new ShiboriError(`A model that is trained takes one input, the images; this one has ${names || 'none'}.`, {
      code: 'unsupported-model',
    });
  }
  const cut = findSmallestCut({ ...graph, nodes: listNodesFor(graph, graph.outputs) }, input, trained, kept);
  const elements = countElementsPerImage(cut, input);
  if (elements === undefined) {
    throw new ShiboriError(`The dimensions of "${cut.name}" are not fixed: give the input's with \`inputSize\`.`, {
      code: 'unsupported-model',
    });
  }
  const prefix = cut === input ? undefined : rewrite(graph, { outputs: [cut] });
  // Flattening and scaling the images alone saves too little: only frozen parameters make a cut useful.
  if (!prefix || listParameters(prefix).length === 0) {
    return {
      prefix: undefined,
      suffix: graph,
      cut: input,
      elementsPerImage: countElementsPerImage(input, input) ?? elements,
    };
  }
  return { prefix, suffix: rewrite(graph, { cutAt: [cut] }), cut, elementsPerImage: elements };
}

/**
 * Scans the nodes in order, keeping which frozen activations are still read later on. Where there is only one, all that
 * follows goes through it.
 */
function findSmallestCut(graph: Graph, input: Value, trained: ReadonlySet<Value>, kept: readonly Value[]): Value {
  // The cut may be a value that is kept, but must not lie downstream of it.
  const downstream = [...findReachable(graph, kept)].filter((value) => !kept.includes(value));
  const touched = new Set([...findReachable(graph, trained), ...downstream]);
  const fromInput = findReachable(graph, [input]);
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
    const size = countElementsPerImage(only, input);
    const before = countElementsPerImage(cut, input);
    // Of equal ones the last: more is computed once only.
    if (size !== undefined && (cut === input || before === undefined || size <= before)) cut = only;
  }
  return cut;
}
