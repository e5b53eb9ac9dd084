import { ShiboriError } from '../errors.js';
import { type Graph, type Model, type Node, OPSET, type Value } from '../graph/model.js';
import type { GraphBuilder } from '../ops/builder.js';
import { isOp } from '../ops/table.js';
import { normalizeAxis } from '../tensor/dims.js';
import { float32 } from '../tensor/tensor.js';
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

/** Attributes that became inputs: the node keeps its other attributes. */
function moved(node: Node, inputs: Inputs, b: GraphBuilder, gone: readonly string[], extra: Inputs): Value | undefined {
  const attributes = Object.fromEntries(Object.entries(node.attributes).filter(([name]) => !gone.includes(name)));
  return b.copy({ ...node, outputs: node.outputs.slice(0, 1), attributes }, [...inputs.slice(0, 1), ...extra])[0];
}

/** `axes` moved from attribute to second input (ReduceSum, Squeeze, Unsqueeze in 13; the other Reduce* in 18). */
const axesToInput: Upgrade = (node, inputs, b) => {
  const axes = intsOf(node, 'axes');
  return axes && moved(node, inputs, b, ['axes'], [b.ints(axes)]);
};

/** Until 12, Softmax flattened its input to a matrix at `axis` (default 1); it is the same where `axis` is the last. */
const softmax: Upgrade = (node, inputs, b, opset) => {
  const [x] = inputs;
  const rank = x?.type?.dims.length;
  if (opset >= 13 || !x || rank === undefined || !isOp(node.op)) return undefined;
  const axis = normalizeAxis(numberOf(node, 'axis') ?? 1, rank);
  const attributes = { ...node.attributes, axis: { type: 'int', value: axis } as const };
  const trailing = x.type?.dims.slice(axis + 1) ?? [];
  if (trailing.every((size) => size === 1)) return b.copy({ ...node, attributes }, inputs)[0];
  const flat = b.op('Flatten', [x], { axis }, { name: node.name });
  const soft = b.copy({ ...node, attributes: { axis: { type: 'int', value: 1 } } }, [flat])[0];
  return soft && b.op('Reshape', [soft, b.op('Shape', [x])], {}, { name: node.name });
};

const upgrades: Readonly<Record<string, Upgrade>> = {
  ReduceSum: axesToInput,
  ReduceMean: axesToInput,
  ReduceMax: axesToInput,
  ReduceMin: axesToInput,
  Squeeze: axesToInput,
  Unsqueeze: axesToInput,
  Softmax: softmax,
  LogSoftmax: softmax,
  /** `starts`, `ends`, `axes` became inputs in 10. */
  Slice(node, inputs, b) {
    const starts = intsOf(node, 'starts');
    const ends = intsOf(node, 'ends');
    const axes = intsOf(node, 'axes');
    if (!starts || !ends) return undefined;
    return moved(node, inputs, b, ['starts', 'ends', 'axes'], [b.ints(starts), b.ints(ends), axes && b.ints(axes)]);
  },
  /** `min` and `max` became inputs in 11. */
  Clip(node, inputs, b) {
    const [min, max] = [numberOf(node, 'min'), numberOf(node, 'max')];
    if (min === undefined && max === undefined) return undefined;
    const bound = (value: number | undefined) => (value === undefined ? undefined : b.scalar(value));
    return moved(node, inputs, b, ['min', 'max'], [bound(min), bound(max)]);
  },
  /** `ratio` became an input in 12. */
  Dropout(node, inputs, b) {
    const ratio = numberOf(node, 'ratio');
    return ratio === undefined ? undefined : moved(node, inputs, b, ['ratio', 'is_test'], [b.scalar(ratio)]);
  },
  /** `pads` and `value` became inputs in 11. */
  Pad(node, inputs, b) {
    const pads = intsOf(node, 'pads') ?? intsOf(node, 'paddings');
    const value = numberOf(node, 'value') ?? 0;
    return (
      pads &&
      moved(
        node,
        inputs,
        b,
        ['pads', 'paddings', 'value'],
        [b.ints(pads), b.initializer('constant/pad', float32([value], []))],
      )
    );
  },
};

/**
 * The graph in the form of operator set {@link OPSET}, whatever older or newer set it was written for: attributes that
 * became inputs are moved, old Softmax semantics are spelled out.
 *
 * @throws ShiboriError for an operator set that is too old or too new.
 */
export function upgradeOpset(model: Model, file: string): Graph {
  if (model.opset < OLDEST || model.opset > NEWEST) {
    throw new ShiboriError(
      `Reading ${file}: it is written for ONNX operator set ${model.opset}; ${OLDEST} to ${NEWEST} are supported. Export it again with opset ${OPSET}.`,
    );
  }
  return rewrite(model.graph, {
    node(node, inputs, builder) {
      const output = upgrades[node.op]?.(node, inputs, builder, model.opset);
      return output && [output];
    },
  });
}
