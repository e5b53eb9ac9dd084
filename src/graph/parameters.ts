import { isFloat } from '../tensor/dtype.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Graph, Value } from './model.js';

/** Names under this prefix are constants of the graph's own making (shapes, pooling matrices), not parameters. */
export const CONSTANT_PREFIX = 'constant/';

/** An initializer that a training could change, or that a model stores next to these. */
export interface Parameter {
  readonly value: Value;
  /** As in a state dict: `vgg16.features.0.weight`. */
  readonly name: string;
  readonly tensor: Tensor;
  /** `parameter`: learned by gradients. `buffer`: running statistics. */
  readonly kind: 'parameter' | 'buffer';
}

/** Whether an initializer is a parameter or a buffer: float, with at least one axis, and not named as a constant. */
export function isParameter({ name }: Value, { dtype, dims }: Tensor): boolean {
  return isFloat(dtype) && dims.length > 0 && !name.startsWith(CONSTANT_PREFIX);
}

/**
 * The parameters and buffers of a graph, in order of definition: every float initializer with at least one axis,
 * except constants. The running statistics of BatchNormalization are buffers.
 */
export function listParameters(graph: Graph): Parameter[] {
  const buffers = new Set<Value>();
  for (const node of graph.nodes) {
    if (node.op !== 'BatchNormalization') continue;
    for (const input of node.inputs.slice(3)) if (input) buffers.add(input);
  }
  const found: Parameter[] = [];
  for (const [value, tensor] of graph.initializers) {
    if (!isParameter(value, tensor)) continue;
    found.push({ value, name: value.name, tensor, kind: buffers.has(value) ? 'buffer' : 'parameter' });
  }
  return found;
}

/** The module a parameter belongs to: `vgg16.features.0` for `vgg16.features.0.weight`. */
export function getParameterModule(name: string): string {
  return name.slice(0, Math.max(0, name.lastIndexOf('.')));
}
