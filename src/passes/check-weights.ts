import { ShiboriError } from '../errors.js';
import type { Graph, Value } from '../graph/model.js';
import { listParameters } from '../graph/parameters.js';
import type { Tensor } from '../tensor/tensor.js';
import { layerWeights } from './weights-as-initializers.js';

/** Counts the elements that are no numbers or infinite, and finds the first one. */
function findNonFinite({ data }: Tensor<'float32' | 'float64'>, allowMask: boolean): { count: number; first: number } {
  let [count, first] = [0, -1];
  for (let i = 0; i < data.length; i++) {
    const value = data[i] as number;
    // The difference of an infinite or undefined number from itself is NaN.
    if (value - value === 0 || (allowMask && value === Number.NEGATIVE_INFINITY)) continue;
    if (count++ === 0) first = i;
  }
  return { count, first };
}

/**
 * Refuses a model whose weights hold NaN or infinite numbers, naming the first such tensor: everything it computes would
 * be NaN, and be found wherever that is looked at first. -Infinity is allowed where nothing multiplies with it: it is the
 * mask of an attention.
 */
export function checkFinite(graph: Graph): void {
  const multiplied = new Set<Value | undefined>();
  for (const { op, inputs } of graph.nodes) {
    for (const i of op === 'Mul' ? [0, 1] : (layerWeights[op] ?? [])) multiplied.add(inputs[i]);
  }
  for (const { value, name, tensor } of listParameters(graph)) {
    if (tensor.dtype !== 'float32' && tensor.dtype !== 'float64') continue;
    const { count, first } = findNonFinite(tensor, !multiplied.has(value));
    if (count === 0) continue;
    const found = Number.isNaN(tensor.data[first]) ? 'NaN' : 'infinite numbers';
    throw new ShiboriError(
      `The weight "${name}" [${tensor.dims.join(', ')}] holds ${found}: ${count} of its ${tensor.data.length} elements are not finite, the first at index ${first}. A training that diverged leaves such weights; take an earlier checkpoint, or export the model again.`,
      { code: 'not-finite' },
    );
  }
}
