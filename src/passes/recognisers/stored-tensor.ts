import type { Graph, Value } from '../../graph/model.js';
import { findUses } from '../../graph/uses.js';
import type { Tensor } from '../../tensor/tensor.js';

/** Reads the tensor of a float32 initializer; `undefined` for any other value. */
export function readFloat32Initializer(graph: Graph, value: Value | undefined): Tensor<'float32'> | undefined {
  const data = value && graph.initializers.get(value);
  return data?.dtype === 'float32' ? data : undefined;
}

/** Whether one input of one node is all that reads a value, so that a pass may change it for that node. */
export function isReadOnce(graph: Graph, value: Value): boolean {
  const [reader, second] = findUses(graph).consumers(value);
  if (!reader || second || graph.outputs.includes(value)) return false;
  return reader.inputs.filter((input) => input === value).length === 1;
}
