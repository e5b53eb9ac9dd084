import type { Graph } from '../graph/model.js';
import { listParameters } from '../graph/parameters.js';
import { int64, type Tensor } from '../tensor/tensor.js';

/** Named tensors, as PyTorch's `state_dict()` gives them. */
export type StateDict = ReadonlyMap<string, Tensor>;

/**
 * Returns the state dict of a graph: its parameters and running statistics by name. PyTorch's strict loading wants
 * `num_batches_tracked` alongside running statistics, which inference does not need: it is written as 0.
 */
export function buildStateDict(graph: Graph): Map<string, Tensor> {
  const tensors = new Map<string, Tensor>();
  for (const { name, tensor } of listParameters(graph)) {
    tensors.set(name, tensor);
    if (name.endsWith('.running_var')) {
      tensors.set(name.replace(/running_var$/, 'num_batches_tracked'), int64([0], []));
    }
  }
  return tensors;
}
