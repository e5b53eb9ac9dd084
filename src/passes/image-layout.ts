/*
 * Finds the axis of an image input that holds the channels from what the graph does with it: each value that is computed
 * from the input is followed with the input axis that each of its own axes came from, until a node treats one of them as
 * channels. Works on graphs straight from a file, whose types are not inferred yet.
 */
import type { Dim, Graph, Node, Value } from '../graph/model.js';
import { findUses } from '../graph/uses.js';
import { getIntsAttribute, getNumberAttribute } from './node-attributes.js';

/** What the nodes tell about the images. */
export interface TracedChannels {
  /** Axis of the input, 1 to 3. */
  readonly axis: number;
  /** How many channels the node's weights are made for, where they say it. */
  readonly count?: number;
}

/** A value on its way from the input. */
interface TracedValue {
  readonly value: Value;
  /** The input axis of each axis; `undefined` for an axis that is new. */
  readonly axes: readonly (number | undefined)[];
  /** Whether all channels are still there, as many as the input has. */
  readonly whole: boolean;
}

/** Integers of a constant: an initializer or a Constant node. */
type ConstantLookup = (
  value: Value | undefined,
) => { readonly dims: readonly number[]; readonly values: number[] } | undefined;

/** Operators whose output has the axes of their first input. */
const SAME_AXES: ReadonlySet<string> = new Set([
  ...['Identity', 'Cast', 'CastLike', 'Sub', 'Mul', 'Div', 'Add', 'Pow', 'Neg', 'Abs', 'Sqrt', 'Exp', 'Log', 'Clip'],
  ...[
    'Relu',
    'Sigmoid',
    'Tanh',
    'Min',
    'Max',
    'Pad',
    'Dropout',
    'QuantizeLinear',
    'DequantizeLinear',
    'Round',
    'Floor',
  ],
  ...['Resize', 'Upsample'],
]);
/** Operators that take a part of the images, or put parts together, along an axis that stays. */
const PARTS: ReadonlySet<string> = new Set(['Slice', 'Split', 'Concat']);
/** Operators whose axis 1 holds the channels, by the standard. */
const CHANNELS_SECOND: ReadonlySet<string> = new Set([
  ...['Conv', 'ConvInteger', 'QLinearConv', 'ConvTranspose', 'MaxPool', 'AveragePool', 'LpPool', 'GlobalAveragePool'],
  ...['GlobalMaxPool', 'BatchNormalization', 'InstanceNormalization', 'GroupNormalization', 'LRN', 'SpaceToDepth'],
]);
/** Operators that work on the last axis. */
const CHANNELS_LAST: ReadonlySet<string> = new Set(['MatMul', 'MatMulInteger', 'LayerNormalization']);

/** Builds the look-up of integers and of small constants. */
export function createConstantLookup(graph: Graph): ConstantLookup {
  const uses = findUses(graph);
  const find = (value: Value): ReturnType<ConstantLookup> => {
    const node = uses.producer(value);
    if (node?.op === 'Identity' && node.inputs[0]) return find(node.inputs[0]);
    const { value: tensor, value_ints: ints } = node?.op === 'Constant' ? node.attributes : {};
    if (ints?.type === 'ints') return { dims: [ints.value.length], values: [...ints.value] };
    const data = graph.initializers.get(value) ?? (tensor?.type === 'tensor' ? tensor.value : undefined);
    return data && { dims: data.dims, values: data.data.length <= 16 ? Array.from(data.data, Number) : [] };
  };
  return (value) => value && find(value);
}

/** The input axes that none of the axes stands for: they were removed, which only axes of size 1 can be. */
const listMissingAxes = (axes: TracedValue['axes']): number[] => [1, 2, 3].filter((axis) => !axes.includes(axis));

/** Matches the axes of a Reshape: those longer than 1 stay in order, and of those of size 1 there is one. */
function matchReshape(
  { axes }: TracedValue,
  dims: readonly Dim[],
  shape: readonly number[],
): TracedValue['axes'] | undefined {
  const sizes = axes.map((axis) => (axis === undefined ? 1 : dims[axis]));
  const target = shape.map((size, i) => (size === 0 ? sizes[i] : size));
  if (target.length === sizes.length && target.every((size, i) => size === sizes[i] || i === 0)) return axes;
  // The batch comes first, whatever it is called.
  const long = axes.filter((_, i) => i > 0 && sizes[i] !== 1);
  const kept = target.slice(1).filter((size) => size !== 1);
  const fits = kept.every((size, k) => size === -1 || size === dims[long[k] ?? 0]);
  if (axes[0] !== 0 || long.length !== kept.length || !fits) return undefined;
  const ones = [...listMissingAxes(axes), ...axes.filter((_, i) => i > 0 && sizes[i] === 1)];
  let next = 0;
  return [0, ...target.slice(1).map((size) => (size !== 1 ? long[next++] : ones.length === 1 ? ones[0] : undefined))];
}

/** What a node makes of the axes; `undefined` where they cannot be followed. */
function followAxes(
  node: Node,
  traced: TracedValue,
  dims: readonly Dim[],
  constants: ConstantLookup,
): TracedValue['axes'] | undefined {
  const { op, attributes, inputs } = node;
  const { axes } = traced;
  if (SAME_AXES.has(op) || PARTS.has(op)) return axes;
  const at = (axis: number, rank: number) => (axis < 0 ? axis + rank : axis);
  switch (op) {
    case 'Transpose': {
      const perm = getIntsAttribute(attributes, 'perm') ?? axes.map((_, i) => axes.length - 1 - i);
      return perm.length === axes.length ? perm.map((axis) => axes[axis]) : undefined;
    }
    case 'Gather':
      // Indices in one axis reorder it.
      return constants(inputs[1])?.dims.length === 1 ? axes : undefined;
    case 'Reshape': {
      const shape = constants(inputs[1])?.values ?? getIntsAttribute(attributes, 'shape');
      return shape && matchReshape(traced, dims, shape);
    }
    case 'Squeeze': {
      const removed = constants(inputs[1])?.values ?? getIntsAttribute(attributes, 'axes');
      return removed && axes.filter((_, i) => !removed.some((axis) => at(axis, axes.length) === i));
    }
    case 'Unsqueeze': {
      const added = constants(inputs[1])?.values ?? getIntsAttribute(attributes, 'axes');
      if (!added) return undefined;
      const rank = axes.length + added.length;
      const places = new Set(added.map((axis) => at(axis, rank)));
      let next = 0;
      return Array.from({ length: rank }, (_, i) => (places.has(i) ? undefined : axes[next++]));
    }
    default:
      return undefined;
  }
}

/** The input axis that an axis of a value stands for; one that is new stands for the only one that was removed. */
function findInputAxis(axes: TracedValue['axes'], axis: number): number | undefined {
  if (axis >= axes.length) return undefined;
  const gone = listMissingAxes(axes);
  return axes[axis] ?? (gone.length === 1 ? gone[0] : undefined);
}

/** The channels that a node reads, where it is one that treats an axis as channels. */
function readChannels(
  node: Node,
  { axes, value, whole }: TracedValue,
  constants: ConstantLookup,
): TracedChannels | undefined {
  const { op, inputs, attributes } = node;
  const toTracedChannels = (place: number, count?: number): TracedChannels | undefined => {
    const axis = findInputAxis(axes, place);
    return axis === undefined || axis === 0 ? undefined : { axis, ...(whole && count !== undefined && { count }) };
  };
  if (inputs[0] !== value) return undefined;
  if (CHANNELS_SECOND.has(op)) {
    const perGroup = constants(inputs[op === 'QLinearConv' ? 3 : 1])?.dims[1];
    const isConv = op === 'Conv' || op === 'ConvInteger' || op === 'QLinearConv';
    return toTracedChannels(
      1,
      isConv && perGroup !== undefined ? perGroup * (getNumberAttribute(attributes, 'group') ?? 1) : undefined,
    );
  }
  if (CHANNELS_LAST.has(op) && axes.length === 4)
    return toTracedChannels(3, op === 'MatMul' ? constants(inputs[1])?.dims[0] : undefined);
  if (op !== 'ReduceMean' && op !== 'ReduceMax') return undefined;
  // Pooling: what is averaged over are the height and the width.
  const over = constants(inputs[1])?.values ?? getIntsAttribute(attributes, 'axes') ?? [];
  const rest = [1, 2, 3].filter((axis) => !over.some((each) => (each + axes.length) % axes.length === axis));
  return axes.length === 4 && rest.length === 1 ? toTracedChannels(rest[0] ?? 0) : undefined;
}

/** A weaker sign: constants of one number a channel (means, deviations), and channels that are put in another order. */
function findHintedAxis(node: Node, { axes, value }: TracedValue, constants: ConstantLookup): number | undefined {
  if (['Sub', 'Mul', 'Div', 'Add'].includes(node.op)) {
    const other = constants(node.inputs.find((input) => input !== value));
    const long = other?.dims.flatMap((size, i) => (size > 1 ? [i - other.dims.length + axes.length] : [])) ?? [];
    return long.length === 1 && long[0] !== undefined ? axes[long[0]] : undefined;
  }
  const reversed = constants(node.inputs[1])?.values.join() === '2,1,0';
  return node.op === 'Gather' && reversed ? axes[getNumberAttribute(node.attributes, 'axis') ?? 0] : undefined;
}

/**
 * Finds the channels of a graph's images.
 *
 * @param input of rank 4.
 * @returns `undefined` where no node shows them.
 */
export function traceChannels(graph: Graph, input: Value, dims: readonly Dim[]): TracedChannels | undefined {
  const uses = findUses(graph);
  const constants = createConstantLookup(graph);
  const waiting: TracedValue[] = [{ value: input, axes: [0, 1, 2, 3], whole: true }];
  const seen = new Set<Value>([input]);
  let hint: number | undefined;
  for (let traced = waiting.shift(); traced; traced = waiting.shift()) {
    for (const node of uses.consumers(traced.value)) {
      const found = readChannels(node, traced, constants);
      if (found) return found;
      hint ??= findHintedAxis(node, traced, constants);
      const axes = followAxes(node, traced, dims, constants);
      if (!axes) continue;
      for (const value of node.outputs) {
        if (!value || seen.has(value)) continue;
        seen.add(value);
        waiting.push({ value, axes, whole: traced.whole && !PARTS.has(node.op) });
      }
    }
  }
  return hint === undefined || hint === 0 ? undefined : { axis: hint };
}
