import type { Graph, Node, Value } from '../../graph/model.js';
import { readAttributes } from '../../ops/table.js';
import { at } from '../../values.js';

/** Holds the parts of a BatchNormalization: y = scale (x − mean) / √(variance + ε) + bias for each channel. */
export interface BatchNorm {
  readonly node: Node;
  readonly x: Value;
  readonly output: Value;
  readonly scale: Value;
  readonly bias: Value;
  readonly mean: Value;
  readonly variance: Value;
  readonly epsilon: number;
  /** Weight of the old running statistics, as in ONNX (PyTorch's momentum is that of the new ones). */
  readonly momentum: number;
}

/** Holds y = `scale` x + `shift`, one of each for a channel. */
export interface ChannelAffine {
  readonly scale: Float64Array;
  readonly shift: Float64Array;
}

/** Whether a node normalises with the statistics of the batch that it gets, as in training. */
export function usesBatchStatistics(node: Node): boolean {
  return node.op === 'BatchNormalization' && readAttributes('BatchNormalization', node).training_mode === 1;
}

/** Reads a BatchNormalization that has all its inputs; `undefined` for any other node. */
export function readBatchNorm(node: Node): BatchNorm | undefined {
  const [x, scale, bias, mean, variance] = node.inputs;
  const [output] = node.outputs;
  if (node.op !== 'BatchNormalization' || !x || !scale || !bias || !mean || !variance || !output) return undefined;
  const { epsilon, momentum } = readAttributes('BatchNormalization', node);
  return { node, x, output, scale, bias, mean, variance, epsilon, momentum };
}

/**
 * Reads what a batch norm of an inference graph computes: scale / √(variance + ε) and bias − scale mean / √(variance + ε).
 *
 * @returns `undefined` where its statistics are those of the batch, or not constant.
 */
export function readChannelAffine(graph: Graph, norm: BatchNorm): ChannelAffine | undefined {
  const { node, epsilon } = norm;
  const [scale, bias, mean, variance] = [norm.scale, norm.bias, norm.mean, norm.variance].map((value) => {
    const data = graph.initializers.get(value)?.data;
    return data && Float64Array.from(data, Number);
  });
  if (!scale || !bias || !mean || !variance || usesBatchStatistics(node)) return undefined;
  if (node.outputs.filter(Boolean).length !== 1) return undefined;
  const factor = scale.map((value, c) => value / Math.sqrt(at(variance, c) + epsilon));
  return { scale: factor, shift: bias.map((value, c) => value - at(factor, c) * at(mean, c)) };
}
