import { ShiboriError } from '../errors.js';
import { type Attribute, type Graph, type Node, OPSET, type Value } from '../graph/model.js';
import { CONSTANT_PREFIX } from '../graph/parameters.js';
import type { GraphBuilder } from '../ops/builder.js';
import { isOp } from '../ops/table.js';
import { castLike } from '../ops/terms.js';
import { normalizeAxis } from '../tensor/dims.js';
import { clampInteger, getIntsAttribute, getNumberAttribute, readConstantTensor } from './node-attributes.js';
import { operatorExpansions } from './operator-expansions.js';
import type { PassContext, PassResult } from './pass.js';
import { checkSupported } from './refused-operators.js';
import { type RewriteOptions, rewrite } from './rewrite.js';
import {
  copyWithoutAttributes,
  getNodeNames,
  type Inputs,
  moveAttributesToInputs,
  scalarLike,
  type Upgrade,
} from './upgrade.js';
import { newerUpgrades, reduceBools } from './upgrade-newer.js';
import { renewNode } from './upgrade-oldest.js';
import { averagePool, globalLpPool, lpPool, padByWrapping, resize, upsample } from './upgrade-resampling.js';
import { batchNormalization, dropout } from './upgrade-training.js';

/** The newest operator set that files are read in. */
export const NEWEST_OPSET = 27;

/** `axes` moved from attribute to second input (ReduceSum, Squeeze, Unsqueeze in 13; the other Reduce* in 18). */
const moveAxesToInput: Upgrade = (node, inputs, b) => {
  const axes = getIntsAttribute(node.attributes, 'axes');
  return axes && moveAttributesToInputs(node, inputs, b, ['axes'], [b.ints(axes)]);
};

/** Until 12, Softmax flattened its input to a matrix at `axis` (default 1); it is the same where `axis` is the last. */
const softmax =
  (op: 'Softmax' | 'LogSoftmax' | 'Hardmax'): Upgrade =>
  (node, inputs, b, opset) => {
    const dims = inputs[0]?.type?.dims;
    if (opset >= 13 || !dims) return undefined;
    const axis = normalizeAxis(getNumberAttribute(node.attributes, 'axis') ?? 1, dims.length);
    if (dims.slice(axis + 1).every((size) => size === 1)) return [b.op(op, inputs, { axis }, getNodeNames(node))];
    const symbols = dims.filter((dim) => typeof dim === 'string');
    if (symbols.length > 1) {
      throw new ShiboriError(
        `Node "${node.name}" (${op}): its dimensions [${dims.join(', ')}] must be fixed but for one. Export the model again with opset ${OPSET}.`,
        { code: 'unsupported-operator' },
      );
    }
    const flat = b.op('Flatten', inputs, { axis }, { name: node.name });
    const soft = b.op(op, [flat], { axis: 1 }, { name: node.name });
    const shape = b.ints(dims.map((dim) => (typeof dim === 'string' ? -1 : dim)));
    return [b.op('Reshape', [soft, shape], {}, getNodeNames(node))];
  };

/** Upgrades a Split without number or lengths of parts: it has one part per output, and set 18 requires that number. */
const split: Upgrade = (node, inputs, b) => {
  const lengths = getIntsAttribute(node.attributes, 'split');
  if (lengths) return copyWithoutAttributes(node, [inputs[0], b.ints(lengths)], b, ['split']);
  if (inputs[1] || getNumberAttribute(node.attributes, 'num_outputs') !== undefined) return undefined;
  const count: Attribute = { type: 'int', value: node.outputs.length };
  return b.copy({ ...node, attributes: { ...node.attributes, num_outputs: count } }, inputs);
};

/** `If` whose condition is known: the branch that is taken, in its place. */
function inlineTakenBranch(
  node: Node,
  [condition]: Inputs,
  b: GraphBuilder,
  inline: (inner: Graph) => readonly Value[],
): readonly Value[] {
  const known = condition && b.findContents(condition)?.[0];
  const branch = node.attributes[known === 0 ? 'else_branch' : 'then_branch'];
  if (typeof known !== 'number' || branch?.type !== 'graph') {
    throw new ShiboriError(
      `Node "${node.name}" (If): which branch is taken shows only when the model runs. Export the model traced instead of scripted, or with a fixed input size.`,
      { code: 'unsupported-operator', node: node.name },
    );
  }
  return inline(branch.value);
}

const upgrades = new Map<string, Upgrade>(
  Object.entries({
    ...newerUpgrades,
    ReduceSum: moveAxesToInput,
    ReduceMean: moveAxesToInput,
    ReduceMax: (node, inputs, b, opset) => (opset < 18 ? moveAxesToInput : reduceBools)(node, inputs, b, opset),
    ReduceMin: (node, inputs, b, opset) => (opset < 18 ? moveAxesToInput : reduceBools)(node, inputs, b, opset),
    ReduceProd: moveAxesToInput,
    ReduceL1: moveAxesToInput,
    ReduceL2: moveAxesToInput,
    ReduceSumSquare: moveAxesToInput,
    ReduceLogSum: moveAxesToInput,
    ReduceLogSumExp: moveAxesToInput,
    Squeeze: moveAxesToInput,
    Unsqueeze: moveAxesToInput,
    Softmax: softmax('Softmax'),
    LogSoftmax: softmax('LogSoftmax'),
    Hardmax: softmax('Hardmax'),
    Split: split,
    Upsample: upsample,
    Resize: resize,
    AveragePool: averagePool,
    LpPool: lpPool,
    GlobalLpPool: globalLpPool,
    /** Set 11 gave Scatter its present name. */
    Scatter: (node, inputs, b) => b.copy({ ...node, op: 'ScatterElements' }, inputs),
    CastLike: (node, [x, like], b) => x && like && [b.op('Identity', [castLike(b, x, like)], {}, getNodeNames(node))],
    /** `k` became an input in 10. */
    TopK(node, inputs, b) {
      const k = getNumberAttribute(node.attributes, 'k');
      return k === undefined ? undefined : copyWithoutAttributes(node, [inputs[0], b.ints([k])], b, ['k']);
    },
    /** An initializer from the start, and by its name no parameter. */
    Constant(node, _, b) {
      const value = readConstantTensor(node);
      return value && [b.initializer(`${CONSTANT_PREFIX}${node.outputs[0]?.name ?? node.name}`, value)];
    },
    /** `starts`, `ends`, `axes` became inputs in 10. */
    Slice(node, inputs, b) {
      const starts = getIntsAttribute(node.attributes, 'starts');
      const ends = getIntsAttribute(node.attributes, 'ends');
      const axes = getIntsAttribute(node.attributes, 'axes');
      if (!starts || !ends) return undefined;
      const extra = [b.ints(starts), b.ints(ends.map(clampInteger)), axes && b.ints(axes)];
      return moveAttributesToInputs(node, inputs, b, ['starts', 'ends', 'axes'], extra);
    },
    /** `min` and `max` became inputs in 11. */
    Clip(node, inputs, b) {
      const [min, max] = [getNumberAttribute(node.attributes, 'min'), getNumberAttribute(node.attributes, 'max')];
      if (min === undefined && max === undefined) return undefined;
      const bound = (value: number | undefined) =>
        value === undefined ? undefined : scalarLike(node, inputs, b, value);
      return moveAttributesToInputs(node, inputs, b, ['min', 'max'], [bound(min), bound(max)]);
    },
    Dropout: dropout,
    BatchNormalization: batchNormalization,
    /** `pads` and `value` became inputs in 11. */
    Pad(node, inputs, b) {
      const pads = getIntsAttribute(node.attributes, 'pads');
      if (!pads) return padByWrapping(node, inputs, b);
      const value = scalarLike(node, inputs, b, getNumberAttribute(node.attributes, 'value') ?? 0);
      return moveAttributesToInputs(node, inputs, b, ['pads', 'value'], [b.ints(pads), value]);
    },
  } satisfies Record<string, Upgrade>),
);

/** The operators that set 18 does not have, or not alike, and that are written in others. */
export const rewrittenOperators: readonly string[] = [...upgrades.keys(), ...operatorExpansions.keys(), 'If'].filter(
  (op) => !isOp(op),
);

/**
 * The graph in the form of operator set 18, whatever older or newer set it was written for: attributes that became
 * inputs are moved, old meanings are spelled out, operators that set 18 does not have are written in those that it has.
 * Constant nodes become initializers; of an `If` whose condition is known, the branch that is taken remains.
 *
 * @throws ShiboriError for an operator set that is too new, and for an operator that is not supported, with
 *   what to do.
 */
export function upgradeOpset(graph: Graph, { opset, file }: PassContext): PassResult {
  if (opset > NEWEST_OPSET) {
    throw new ShiboriError(
      `Reading ${file}: it is written for ONNX operator set ${opset}; 1 to ${NEWEST_OPSET} are supported. Export it again with opset ${OPSET}.`,
      { code: 'unsupported-operator', file },
    );
  }
  const results = new Set<Value>(graph.outputs);
  /** What a node became, with the names that the graph's outputs have. */
  const keepOutputNames = (node: Node, replacements: readonly (Value | undefined)[], b: GraphBuilder) =>
    replacements.map((value, i) => {
      const output = node.outputs[i];
      if (!value || !output || value.name === output.name || !results.has(output)) return value;
      return b.op('Identity', [value], {}, { name: node.name, outputName: output.name });
    });
  const renew: RewriteOptions['node'] = (node, inputs, builder, inline) => {
    if (node.domain === '' && node.op === 'If') return inlineTakenBranch(node, inputs, builder, inline);
    checkSupported(node, opset, rewrittenOperators);
    if (node.domain !== '') return undefined;
    const { node: own, inputs: given } = renewNode(node, inputs, builder, opset);
    const decomposition = operatorExpansions.get(node.op);
    if (decomposition) return [decomposition(builder, given, own.attributes, getNodeNames(node))];
    const renewed = upgrades.get(node.op)?.(own, given, builder, opset);
    return renewed ?? (own === node ? undefined : builder.copy(own, given));
  };
  const upgraded = rewrite(graph, {
    node(node, inputs, builder, inline) {
      const replacements = renew(node, inputs, builder, inline);
      return replacements && keepOutputNames(node, replacements, builder);
    },
  });
  return { graph: upgraded, notes: [] };
}
