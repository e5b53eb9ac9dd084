/** The further outputs that nodes have for training: statistics of BatchNormalization, the mask of Dropout. */
import { getElementTypeNumber } from '../graph/element-types.js';
import type { Node, Value } from '../graph/model.js';
import type { GraphBuilder } from '../ops/builder.js';
import { numberLike } from '../ops/terms.js';
import { range } from '../tensor/dims.js';
import { getNumberAttribute } from './node-attributes.js';
import {
  copyWithoutAttributes,
  createNodeError,
  getNodeNames,
  type Inputs,
  moveAttributesToInputs,
  type Upgrade,
} from './upgrade.js';

/** `value` under the name of an output that the node has; `undefined` where it has none. */
function emitNamedOutput(b: GraphBuilder, node: Node, value: Value, output: Value | undefined): Value | undefined {
  return output && b.op('Identity', [value], {}, { name: node.name, outputName: output.name });
}

/** Mean and 1 / deviation of each channel of a batch: what training kept for its backward step. */
function emitBatchStatistics(b: GraphBuilder, node: Node, x: Value): { readonly mean: Value; readonly inverse: Value } {
  const own = { name: node.name };
  const axes = b.ints(range(x.type?.dims.length ?? 0).filter((axis) => axis !== 1));
  const mean = b.op('ReduceMean', [x, axes], { keepdims: 1 }, own);
  const centred = b.op('Sub', [x, mean], {}, own);
  const variance = b.op('ReduceMean', [b.op('Mul', [centred, centred], {}, own), axes], { keepdims: 0 }, own);
  const shifted = b.op(
    'Add',
    [variance, numberLike(b, getNumberAttribute(node.attributes, 'epsilon') ?? 1e-5, x)],
    {},
    own,
  );
  return {
    mean: b.op('Reshape', [mean, b.ints([-1])], {}, own),
    inverse: b.op('Reciprocal', [b.op('Sqrt', [shifted], {}, own)], {}, own),
  };
}

/** Outputs 2 to 5 of a node that is applied, not trained: the statistics that it was given. */
function emitGivenStatistics(b: GraphBuilder, node: Node, [, , , mean, variance]: Inputs): (Value | undefined)[] {
  if (!mean || !variance) throw createNodeError(node, 'its mean and variance are missing.');
  return [mean, variance, mean, variance].map((value, i) => emitNamedOutput(b, node, value, node.outputs[i + 1]));
}

/**
 * `spatial` went in 9: without it, statistics are per channel. Until 13, further outputs meant training mode (before 7
 * unless is_test is set), in which a batch is normalised by its own statistics; since 14 an attribute says so.
 */
export const batchNormalization: Upgrade = (node, inputs, b, opset) => {
  if (getNumberAttribute(node.attributes, 'spatial') === 0) {
    throw createNodeError(
      node,
      'statistics per activation (spatial = 0) are not supported. Export the model again with opset 18.',
    );
  }
  if (opset >= 14) return undefined;
  const gone = ['spatial', 'is_test'];
  const isTrained = node.outputs.slice(1).some((output) => output);
  const isTest = opset < 7 ? getNumberAttribute(node.attributes, 'is_test') : undefined;
  if (!isTrained || (isTest !== undefined && isTest !== 0)) {
    return [
      ...moveAttributesToInputs(node, inputs, b, gone, inputs.slice(1)),
      ...(isTrained ? emitGivenStatistics(b, node, inputs) : []),
    ];
  }
  const [x] = inputs;
  if (!x) throw createNodeError(node, 'its input is missing.');
  const trained: Node = {
    ...node,
    attributes: { ...node.attributes, training_mode: { type: 'int', value: 1 } },
    outputs: node.outputs.slice(0, 3),
  };
  const outputs = copyWithoutAttributes(trained, inputs, b, gone);
  const [, , , saved, savedInverse] = node.outputs;
  if (!saved && !savedInverse) return outputs;
  const { mean, inverse } = emitBatchStatistics(b, node, x);
  return [
    ...range(3).map((i) => outputs[i]),
    emitNamedOutput(b, node, mean, saved),
    emitNamedOutput(b, node, inverse, savedInverse),
  ];
};

/** `ratio` became an input in 12, the mask a bool in 10. Until 12, ONNX Runtime says "dropped nothing" by zeros. */
export const dropout: Upgrade = (node, inputs, b, opset) => {
  const ratio = getNumberAttribute(node.attributes, 'ratio');
  const [x] = inputs;
  const mask = opset < 12 ? node.outputs[1] : undefined;
  if (!mask || !x)
    return ratio === undefined ? undefined : moveAttributesToInputs(node, inputs, b, ['ratio'], [b.scalar(ratio)]);
  const own = { name: node.name };
  const [y, kept] = b.node('Dropout', [x, b.scalar(ratio ?? 0.5)], {}, { ...getNodeNames(node), outputs: 2 });
  if (!y || !kept) throw createNodeError(node, 'it has no outputs.');
  const dropped = b.op('Not', [kept], {}, own);
  const dtype = x.type?.dtype;
  const typed = opset < 10 && dtype ? b.op('Cast', [dropped], { to: getElementTypeNumber(dtype) }, own) : dropped;
  return [y, emitNamedOutput(b, node, typed, mask)];
};
