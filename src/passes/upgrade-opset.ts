import { ShiboriError } from '../errors.js';
import { type Graph, type Model, type Node, OPSET, type Value } from '../graph/model.js';
import { CONSTANT_PREFIX } from '../graph/parameters.js';
import type { GraphBuilder } from '../ops/builder.js';
import { normalizeAxis } from '../tensor/dims.js';
import { float32, int64, type Tensor } from '../tensor/tensor.js';
import { rewrite } from './rewrite.js';

/** The oldest operator set that is understood. */
const OLDEST = 7;
/** The newest one: later sets changed nothing that the supported operators use, up to here. */
const NEWEST = 23;

type Inputs = readonly (Value | undefined)[];
type Upgrade = (node: Node, inputs: Inputs, b: GraphBuilder, opset: number) => Value | undefined;

function intsOf(node: Node, name: string): readonly number[] | undefined {
  const attribute = node.attributes[name];
  return attribute?.type === 'ints' ? attribute.value : undefined;
}

function numberOf(node: Node, name: string): number | undefined {
  const attribute = node.attributes[name];
  return attribute?.type === 'float' || attribute?.type === 'int' ? attribute.value : undefined;
}

/** The largest int64 comes as 2^63, the nearest number to it. */
const bounded = (value: number): number => Math.min(value, Number.MAX_SAFE_INTEGER);

/** The tensor that a Constant node makes; `undefined` for what no tensor holds (strings). */
function constantOf(node: Node): Tensor | undefined {
  const [attribute] = Object.values(node.attributes);
  switch (attribute?.type) {
    case 'tensor':
      return attribute.value;
    case 'float':
      return float32([attribute.value], []);
    case 'floats':
      return float32(attribute.value);
    case 'int':
      return int64([bounded(attribute.value)], []);
    case 'ints':
      return int64(attribute.value.map(bounded));
    default:
      return undefined;
  }
}

/** The node with its first output only, without some of its attributes, and with `extra` inputs after the first. */
function moved(node: Node, inputs: Inputs, b: GraphBuilder, gone: readonly string[], extra: Inputs): Value | undefined {
  const attributes = Object.fromEntries(Object.entries(node.attributes).filter(([name]) => !gone.includes(name)));
  return b.copy({ ...node, outputs: node.outputs.slice(0, 1), attributes }, [...inputs.slice(0, 1), ...extra])[0];
}

/** A number that was an attribute, as a scalar in the element type of the node's first input. */
function scalarLike(node: Node, [x]: Inputs, b: GraphBuilder, value: number): Value {
  const dtype = x?.type?.dtype;
  if (dtype === 'float32' || dtype === 'float64') return b.scalar(value, dtype);
  throw new ShiboriError(
    `Node "${node.name}" (${node.op}): expected float32 or float64 elements, found ${dtype ?? 'an unknown type'}. Export the model again with opset ${OPSET}.`,
  );
}

/** `axes` moved from attribute to second input (ReduceSum, Squeeze, Unsqueeze in 13; the other Reduce* in 18). */
const axesToInput: Upgrade = (node, inputs, b) => {
  const axes = intsOf(node, 'axes');
  return axes && moved(node, inputs, b, ['axes'], [b.ints(axes)]);
};

/** Until 12, Softmax flattened its input to a matrix at `axis` (default 1); it is the same where `axis` is the last. */
const softmax =
  (op: 'Softmax' | 'LogSoftmax'): Upgrade =>
  (node, inputs, b, opset) => {
    const dims = inputs[0]?.type?.dims;
    if (opset >= 13 || !dims) return undefined;
    const axis = normalizeAxis(numberOf(node, 'axis') ?? 1, dims.length);
    const names = { name: node.name, ...(node.outputs[0] ? { outputName: node.outputs[0].name } : {}) };
    if (dims.slice(axis + 1).every((size) => size === 1)) return b.op(op, inputs, { axis }, names);
    const symbols = dims.filter((dim) => typeof dim === 'string');
    if (symbols.length > 1) {
      throw new ShiboriError(
        `Node "${node.name}" (${op}): its dimensions [${dims.join(', ')}] must be fixed but for one. Export the model again with opset ${OPSET}.`,
      );
    }
    const flat = b.op('Flatten', inputs, { axis }, { name: node.name });
    const soft = b.op(op, [flat], { axis: 1 }, { name: node.name });
    return b.op('Reshape', [soft, b.ints(dims.map((dim) => (typeof dim === 'string' ? -1 : dim)))], {}, names);
  };

const upgrades = new Map<string, Upgrade>(
  Object.entries({
    ReduceSum: axesToInput,
    ReduceMean: axesToInput,
    ReduceMax: axesToInput,
    ReduceMin: axesToInput,
    Squeeze: axesToInput,
    Unsqueeze: axesToInput,
    Softmax: softmax('Softmax'),
    LogSoftmax: softmax('LogSoftmax'),
    /** An initializer from the start, and by its name no parameter. */
    Constant(node, _, b) {
      const value = constantOf(node);
      return value && b.initializer(`${CONSTANT_PREFIX}${node.outputs[0]?.name ?? node.name}`, value);
    },
    /** `starts`, `ends`, `axes` became inputs in 10. */
    Slice(node, inputs, b) {
      const starts = intsOf(node, 'starts');
      const ends = intsOf(node, 'ends');
      const axes = intsOf(node, 'axes');
      if (!starts || !ends) return undefined;
      const extra = [b.ints(starts), b.ints(ends.map(bounded)), axes && b.ints(axes)];
      return moved(node, inputs, b, ['starts', 'ends', 'axes'], extra);
    },
    /** `min` and `max` became inputs in 11. */
    Clip(node, inputs, b) {
      const [min, max] = [numberOf(node, 'min'), numberOf(node, 'max')];
      if (min === undefined && max === undefined) return undefined;
      const bound = (value: number | undefined) =>
        value === undefined ? undefined : scalarLike(node, inputs, b, value);
      return moved(node, inputs, b, ['min', 'max'], [bound(min), bound(max)]);
    },
    /** `ratio` became an input in 12. */
    Dropout(node, inputs, b) {
      const ratio = numberOf(node, 'ratio');
      return ratio === undefined ? undefined : moved(node, inputs, b, ['ratio'], [b.scalar(ratio)]);
    },
    /** `pads` and `value` became inputs in 11. */
    Pad(node, inputs, b) {
      const pads = intsOf(node, 'pads');
      if (!pads) return undefined;
      const value = scalarLike(node, inputs, b, numberOf(node, 'value') ?? 0);
      return moved(node, inputs, b, ['pads', 'value'], [b.ints(pads), value]);
    },
    /** `spatial` went in 9: without it, statistics are per channel. */
    BatchNormalization(node, inputs, b) {
      const spatial = numberOf(node, 'spatial');
      if (spatial === undefined) return undefined;
      if (spatial === 1) return moved(node, inputs, b, ['spatial'], inputs.slice(1));
      throw new ShiboriError(
        `Node "${node.name}" (BatchNormalization): statistics per activation (spatial = 0) are not supported. Export the model again with opset ${OPSET}.`,
      );
    },
  } satisfies Record<string, Upgrade>),
);

/**
 * The graph in the form of operator set 18, whatever older or newer set it was written for: attributes that
 * became inputs are moved, old Softmax semantics are spelled out. Constant nodes become initializers.
 *
 * @throws ShiboriError for an operator set that is too old or too new, and for an operator that is not supported.
 */
export function upgradeOpset(model: Model, file: string): Graph {
  if (model.opset < OLDEST || model.opset > NEWEST) {
    throw new ShiboriError(
      `Reading ${file}: it is written for ONNX operator set ${model.opset}; ${OLDEST} to ${NEWEST} are supported. Export it again with opset ${OPSET}.`,
    );
  }
  return rewrite(model.graph, {
    node(node, inputs, builder) {
      const upgrade = node.domain === '' ? upgrades.get(node.op) : undefined;
      const output = upgrade?.(node, inputs, builder, model.opset);
      return output && [output];
    },
  });
}
