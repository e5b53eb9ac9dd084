import { ShiboriError } from '../errors.js';
import { formatDims, isStatic } from '../graph/dims.js';
import { type Node, Value } from '../graph/model.js';
import { inferTypes, type Op, readAttributes, readOp } from '../ops/table.js';
import type { Tensor } from '../tensor/tensor.js';
import { activation } from './activation.js';
import { convolution } from './convolution.js';
import { elementwise } from './elementwise.js';
import { indexing } from './indexing.js';
import type { Kernel, Kernels, TensorType } from './kernel.js';
import { linear } from './linear.js';
import { normalization } from './normalization.js';
import { quantization } from './quantization.js';
import { reduction } from './reduction.js';
import { resample } from './resample.js';
import { shape } from './shape.js';

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

/** Infers the types of a node's outputs for these inputs. */
function inferOutputTypes(node: Node, inputs: readonly (Tensor | undefined)[]): TensorType[] {
  const values = inputs.map((input, i) => input && new Value(node.inputs[i]?.name ?? `input ${i}`, input));
  return inferTypes({ ...node, inputs: values }, { tensor: (i) => inputs[i] }).map(({ dtype, dims }) => {
    if (isStatic(dims)) return { dtype, dims };
    throw new ShiboriError(
      `Node "${node.name}" (${node.op}): its output dimensions ${formatDims(dims)} are not fixed.`,
      { code: 'engine-failed', node: node.name },
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
    throw new ShiboriError(`Node "${node.name}" (${op}): ${cause.message}`, {
      code: 'engine-failed',
      node: node.name,
      cause,
    });
  }
}
