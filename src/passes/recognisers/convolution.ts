import type { Graph, Node, Value } from '../../graph/model.js';
import { type AttributesOf, readAttributes } from '../../ops/table.js';
import type { Tensor } from '../../tensor/tensor.js';
import { readFloat32Initializer } from './stored-tensor.js';

/** Holds the parts of a Conv with constant float32 weights. */
export interface Convolution {
  readonly kind: 'convolution';
  readonly node: Node;
  readonly x: Value;
  readonly output: Value;
  /** `[out, in / group, kernel…]`. */
  readonly weight: Tensor<'float32'>;
  readonly storedWeight: Value;
  /** `[out]`. */
  readonly bias: Tensor<'float32'> | undefined;
  readonly storedBias: Value | undefined;
  readonly attributes: AttributesOf<'Conv'>;
}

/** Reads a Conv; a string says why it is none whose weights are known. */
export function readConvolution(graph: Graph, node: Node): Convolution | string {
  const [x, storedWeight, storedBias] = node.inputs;
  const [output] = node.outputs;
  if (node.op !== 'Conv' || !x || !output) return 'it is no convolution';
  const weight = readFloat32Initializer(graph, storedWeight);
  const bias = readFloat32Initializer(graph, storedBias);
  if (!weight || !storedWeight) return 'its weight is no float32 constant';
  if (storedBias && !bias) return 'its bias is no float32 constant';
  const attributes = readAttributes('Conv', node);
  return { kind: 'convolution', node, x, output, weight, storedWeight, bias, storedBias, attributes };
}

/** Whether a convolution adds zeros around its input. */
export function padsInput({ attributes: { pads, auto_pad } }: Convolution): boolean {
  return (auto_pad !== 'NOTSET' && auto_pad !== 'VALID') || (pads ?? []).some((pad) => pad !== 0);
}
