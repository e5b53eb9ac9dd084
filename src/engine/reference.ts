import { ShiboriError } from '../errors.js';
import { formatDims, isStatic } from '../graph/dims.js';
import { type Graph, type Node, Value } from '../graph/model.js';
import { inferTypes, type Op, readAttributes, readOp } from '../ops/table.js';
import { countElements } from '../tensor/dims.js';
import { type Tensor, zeros } from '../tensor/tensor.js';
import type { Engine, NamedTensors, Session } from './engine.js';
import { checkFeeds, checkOutputTargets } from './feeds.js';
import { activation } from './reference/activation.js';
import { convolution } from './reference/convolution.js';
import { elementwise } from './reference/elementwise.js';
import { indexing } from './reference/indexing.js';
import { type Kernel, type Kernels, listStridedPositions, move, type TensorType } from './reference/kernel.js';
import { linear } from './reference/linear.js';
import { normalization } from './reference/normalization.js';
import { quantization } from './reference/quantization.js';
import { reduction } from './reference/reduction.js';
import { resample } from './reference/resample.js';
import { shape } from './reference/shape.js';

/** The kernel of every operator: a missing one does not compile. */
const kernels: Kernels<Op> = {
  ...elementwise,
  ...activation,
  ...quantization,
  ...linear,
  ...convolution,
  ...normalization,
  ...reduction,
  ...shape,
  ...indexing,
  ...resample,
};

/** The types of a node's outputs for these very inputs. */
function inferOutputTypes(node: Node, inputs: readonly (Tensor | undefined)[]): TensorType[] {
  const values = inputs.map((input, i) => input && new Value(node.inputs[i]?.name ?? `input ${i}`, input));
  return inferTypes({ ...node, inputs: values }, { tensor: (i) => inputs[i] }).map(({ dtype, dims }) => {
    if (isStatic(dims)) return { dtype, dims };
    throw new ShiboriError(
      `Node "${node.name}" (${node.op}): its output dimensions ${formatDims(dims)} are not fixed.`,
      { code: 'engine-failed' },
    );
  });
}

/**
 * Computes one node in double precision and rounds the results to the output types.
 *
 * @param inputs a tensor for each of the node's inputs, `undefined` where an optional one is left out.
 * @returns all outputs that the operator has, wanted or not. An output may share its memory with an input.
 * @throws ShiboriError for an unknown operator, for inputs that do not fit it, and for what has no deterministic result
 *   (Dropout in training mode).
 */
export function evaluateNode(node: Node, inputs: readonly (Tensor | undefined)[]): readonly Tensor[] {
  const op = readOp(node);
  // The table pairs each operator with the kernel for exactly its attributes; here it is not known which it is.
  const kernel = kernels[op] as Kernel<typeof op>;
  const [attributes, types] = [readAttributes(op, node), inferOutputTypes(node, inputs)];
  try {
    return kernel(attributes, inputs, types);
  } catch (cause) {
    if (!(cause instanceof ShiboriError)) throw cause;
    throw new ShiboriError(`Node "${node.name}" (${op}): ${cause.message}`, { code: 'engine-failed', cause });
  }
}

/** Whether the tensor has the declared dtype and dimensions; symbols fit every size. */
function matchesType(value: Value, found: Tensor): boolean {
  const type = value.type;
  if (!type) return true;
  return (
    type.dtype === found.dtype &&
    type.dims.length === found.dims.length &&
    type.dims.every((dim, axis) => typeof dim === 'string' || dim === found.dims[axis])
  );
}

function runGraph(graph: Graph, feeds: NamedTensors): Map<Value, Tensor> {
  const known = new Map<Value, Tensor>(graph.initializers);
  for (const input of graph.inputs) {
    const feed = feeds[input.name];
    if (feed) known.set(input, feed);
  }
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((input) => {
      const tensor = input && known.get(input);
      if (input && !tensor)
        throw new ShiboriError(`Node "${node.name}" (${node.op}) reads "${input.name}", which nothing makes.`, {
          code: 'engine-failed',
        });
      return tensor;
    });
    const results = evaluateNode(node, inputs);
    for (const [i, output] of node.outputs.entries()) {
      const result = results[i];
      if (!output || !result) continue;
      if (!matchesType(output, result)) {
        throw new ShiboriError(
          `Node "${node.name}" (${node.op}): output "${output.name}" is declared as ${output.type?.dtype} ${formatDims(output.type?.dims)} but was computed as ${result.dtype} ${formatDims(result.dims)}.`,
          { code: 'engine-failed' },
        );
      }
      known.set(output, result);
    }
  }
  return known;
}

/** A copy, so that no result shares memory with a feed or an initializer. */
function copyInto(source: Tensor, target: Tensor): Tensor {
  const every = listStridedPositions([countElements(source.dims)], [1]);
  move(source, every, target, every);
  return target;
}

/**
 * The slow, readable engine: every operator in double precision, rounded to its dtype when stored. It is the oracle
 * that the other engines are tested against, the engine of finite differences (ONNX Runtime has no convolution in
 * float64), and what folds constants. It computes in float32, float64, integers up to 2^53 and booleans.
 */
export function referenceEngine(): Engine {
  return {
    name: 'reference',
    async load(graph): Promise<Session> {
      for (const node of graph.nodes) readOp(node);
      return {
        async run(feeds, into = {}) {
          checkFeeds(graph, feeds);
          const known = runGraph(graph, feeds);
          const results: Record<string, Tensor> = {};
          for (const output of graph.outputs) {
            const result = known.get(output);
            if (!result)
              throw new ShiboriError(`Output "${output.name}" of graph "${graph.name}" is made by no node.`, {
                code: 'engine-failed',
              });
            results[output.name] = result;
          }
          checkOutputTargets(graph, into, results);
          for (const [name, result] of Object.entries(results)) {
            results[name] = copyInto(result, into[name] ?? zeros(result.dtype, result.dims));
          }
          return results;
        },
        async dispose() {},
        async [Symbol.asyncDispose]() {},
      };
    },
  };
}
