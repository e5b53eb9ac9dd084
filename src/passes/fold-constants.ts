import { ShiboriError } from '../errors.js';
import { isStatic } from '../graph/dims.js';
import type { Graph, Node, Value } from '../graph/model.js';
import { CONSTANT_PREFIX, isParameter } from '../graph/parameters.js';
import { evaluateNode } from '../kernels/evaluate-node.js';
import type { GraphBuilder } from '../ops/builder.js';
import { inferTypes, readAttributes } from '../ops/table.js';
import { areDimsEqual, countElements } from '../tensor/dims.js';
import { getBytesPerElement } from '../tensor/dtype.js';
import { countTensorBytes, type Tensor } from '../tensor/tensor.js';
import type { PassResult } from './pass.js';
import { rewrite } from './rewrite.js';

/** Limits the size of results that are always kept. */
const ALWAYS_KEPT_BYTES = 1 << 20;
/** A larger one is not, when it is that many times what it is computed from. */
const GROWTH = 4;

type NodeInputs = readonly (Value | undefined)[];

/** The tensors of all inputs, where every one is a constant and none a parameter. */
function findConstantInputs(inputs: NodeInputs, b: GraphBuilder): readonly (Tensor | undefined)[] | undefined {
  const tensors: (Tensor | undefined)[] = [];
  for (const input of inputs) {
    const tensor = input && b.findTensor(input);
    if (input && (!tensor || isParameter(input, tensor))) return undefined;
    tensors.push(tensor);
  }
  return inputs.length > 0 ? tensors : undefined;
}

function evaluateConstantNode(node: Node, inputs: NodeInputs, b: GraphBuilder): Value[] | undefined {
  const tensors = findConstantInputs(inputs, b);
  if (!tensors) return undefined;
  const draft = { ...node, inputs };
  let results: readonly Tensor[];
  try {
    let bytes = 0;
    for (const { dtype, dims } of inferTypes(draft, { tensor: (i) => tensors[i] })) {
      if (!isStatic(dims)) return undefined;
      bytes += countElements(dims) * getBytesPerElement(dtype);
    }
    const given = tensors.reduce((sum, tensor) => sum + (tensor ? countTensorBytes(tensor) : 0), 0);
    if (bytes > Math.max(ALWAYS_KEPT_BYTES, GROWTH * given)) return undefined;
    results = evaluateNode(draft, tensors);
  } catch (error) {
    // What the reference kernels do not compute (float16, random numbers) is left to the engine that runs the graph.
    if (error instanceof ShiboriError) return undefined;
    throw error;
  }
  if (node.outputs.some((output, i) => output && !results[i])) return undefined;
  return results
    .slice(0, node.outputs.length)
    .map((tensor, i) => b.initializer(`${CONSTANT_PREFIX}${node.outputs[i]?.name ?? node.name}`, tensor));
}

/** A Reshape whose new shape is computed from shapes, with constants instead: 0 for a copied axis, -1 for an open one. */
function foldReshape(node: Node, [x, shape]: NodeInputs, b: GraphBuilder): Value[] | undefined {
  const [dims, wanted] = [x?.type?.dims, shape && b.findContents(shape)];
  const output = node.outputs[0];
  if (!x || !dims || !wanted || !output || isStatic(wanted)) return undefined;
  if (readAttributes('Reshape', node).allowzero) return undefined;
  const [type] = inferTypes({ ...node, inputs: [x, shape] }, { tensor: () => undefined, contents: () => wanted });
  const target = (type?.dims ?? []).map((dim, axis) =>
    typeof dim === 'number' ? dim : dim !== '?' && dim === dims[axis] ? 0 : -1,
  );
  const open = target.filter((size) => size === -1).length;
  if (open > 1 || type?.dims.includes(0)) return undefined;
  return [b.op('Reshape', [x, b.ints(target)], {}, { name: node.name, outputName: output.name })];
}

/** Operators that leave their input as it is when they leave its type as it is. */
const sameWhenSameType: ReadonlySet<string> = new Set(['Identity', 'Cast', 'Expand', 'Slice', 'Pad']);

/** The input of a node that changes nothing about it: an Identity, a Cast to its own type, padding by nothing. */
function findUnchangedInput(node: Node, inputs: NodeInputs, b: GraphBuilder): Value[] | undefined {
  const [x] = inputs;
  if (!x?.type || !sameWhenSameType.has(node.op)) return undefined;
  const contents = (index: number) => {
    const input = inputs[index];
    return input && b.findContents(input);
  };
  // Padding may cut as much as it adds, and a slice may run backwards.
  if (node.op === 'Pad' && !contents(1)?.every((count) => count === 0)) return undefined;
  if (node.op === 'Slice' && inputs[4] && !contents(4)?.every((step) => step === 1)) return undefined;
  const tensor = (index: number) => {
    const input = inputs[index];
    return input && b.findTensor(input);
  };
  const [type] = inferTypes({ ...node, inputs }, { tensor, contents });
  if (type?.dtype !== x.type.dtype || !areDimsEqual(type.dims, x.type.dims) || type.dims.includes('?'))
    return undefined;
  return [x];
}

/**
 * The parameter that an Identity of a parameter stands for. PyTorch's exporter stores equal parameters once and hands
 * them on under the names of the others, so that a fresh batch norm's bias and its running mean are one tensor: trained,
 * they would stay one.
 */
function copyNamedParameter(node: Node, [x]: NodeInputs, b: GraphBuilder): Value[] | undefined {
  const tensor = x && b.findTensor(x);
  const name = node.outputs[0]?.name;
  if (node.op !== 'Identity' || !tensor || !isParameter(x, tensor) || !name) return undefined;
  return [b.initializer(name, tensor)];
}

/**
 * The graph with everything computed that is known before running: nodes of constants become constants, and shapes that
 * an exporter computes at run time become fixed where the model's input leaves only the batch open: a `Reshape` to
 * `[shape(x)[0], 12]` becomes one to `[0, 12]`. Parameters stay parameters: what is computed from one is not folded.
 * An Identity of a parameter becomes a parameter of its own name.
 * No constant becomes larger than 1 MB or 4 times what it is computed from, whichever is more.
 */
export function foldConstants(graph: Graph): PassResult {
  const results = new Set<Value>(graph.outputs);
  const folded = rewrite(graph, {
    node(node, inputs, builder) {
      const rewritten = node.op === 'Reshape' ? foldReshape(node, inputs, builder) : undefined;
      if (rewritten || node.outputs.some((output) => output && results.has(output))) return rewritten;
      return (
        copyNamedParameter(node, inputs, builder) ??
        findUnchangedInput(node, inputs, builder) ??
        evaluateConstantNode(node, inputs, builder)
      );
    },
  });
  // What only served to compute what is folded now is dropped.
  return { graph: rewrite(folded), notes: [] };
}
