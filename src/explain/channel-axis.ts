/*
 * Which axis of each activation holds its channels, read from what the graph does and never from sizes. Convolutions,
 * pools and batch norms have their channels in axis 1; layer norms and constants of one axis that are added or
 * multiplied (biases, scales) name theirs; a product with a weight matrix maps the last axis. From there it spreads,
 * forwards and backwards, through everything that leaves axes where they are, and through Transpose.
 */
import type { Graph, Node, Value } from '../graph/model.js';
import { findReachable } from '../graph/uses.js';
import { normalizeAxis } from '../tensor/dims.js';

/** Operators whose input and output are `[N, C, …]`. */
const channelsFirstOperators = new Set([
  'Conv',
  'ConvTranspose',
  'MaxPool',
  'AveragePool',
  'LpPool',
  'GlobalAveragePool',
  'GlobalMaxPool',
  'BatchNormalization',
  'InstanceNormalization',
  'GroupNormalization',
  'LRN',
  'DepthToSpace',
  'SpaceToDepth',
]);

/** Element-wise operators whose constant may be a value per channel. */
const scalingOperators = new Set(['Add', 'Sub', 'Mul', 'Div', 'PRelu']);

/** Operators that move elements between axes or make new ones: nothing is known across them. */
const rearrangingOperators = new Set([
  'Reshape',
  'Flatten',
  'Squeeze',
  'Unsqueeze',
  'Expand',
  'Tile',
  'Einsum',
  'Gemm',
  'Shape',
]);

/** What structure tells about activations. */
export interface ChannelAxes {
  /** The axis of a value's channels; `undefined` when nothing tells. */
  findAxis(value: Value): number | undefined;
  /** Whether a value is a constant with an entry for each place of one axis: a bias or a scale. */
  isPerChannel(value: Value): boolean;
  /** Whether a node multiplies two activations, as attention does. */
  mixes(node: Node): boolean;
  /** Whether a value holds attention: weights between tokens, or what they mixed before it is laid out again. */
  isAttention(value: Value): boolean;
}

interface AxisLink {
  readonly to: Value;
  /** For each axis here, the axis there. */
  readonly axes: readonly number[];
}

const getRank = (value: Value | undefined): number => value?.type?.dims.length ?? 0;

const hasSameDims = (a: Value, b: Value): boolean => a.type?.dims.join() === b.type?.dims.join();

/** The one axis of a constant with more than one entry, counted from the end; `undefined` for scalars and maps. */
function findOnlyAxis(constant: Value): number | undefined {
  const dims = constant.type?.dims ?? [];
  const wide = dims.flatMap((size, axis) => (size === 1 ? [] : [axis - dims.length]));
  return wide.length === 1 ? wide[0] : undefined;
}

function mapAxes(node: Node, input: Value, output: Value): readonly number[] | undefined {
  const rank = getRank(input);
  if (rank !== getRank(output)) return undefined;
  const identity = Array.from({ length: rank }, (_, axis) => axis);
  if (node.op === 'Transpose') {
    const { perm } = node.attributes;
    return perm?.type === 'ints' ? identity.map((axis) => perm.value.indexOf(axis)) : identity.reverse();
  }
  return rearrangingOperators.has(node.op) && !hasSameDims(input, output) ? undefined : identity;
}

class ChannelAnalysis implements ChannelAxes {
  readonly #axes = new Map<Value, number>();
  readonly #links = new Map<Value, AxisLink[]>();
  readonly #attention = new Set<Value>();
  readonly #activations: ReadonlySet<Value>;

  constructor(graph: Graph) {
    this.#activations = findReachable(graph, graph.inputs);
    for (const node of graph.nodes) this.#markAttention(node);
    for (const node of graph.nodes) this.#link(node);
    for (const seed of [this.#seedFirst, this.#seedNorm, this.#seedScale, this.#seedProduct]) {
      for (const node of graph.nodes) seed.call(this, node);
    }
  }

  findAxis(value: Value): number | undefined {
    return this.#axes.get(value);
  }

  isAttention(value: Value): boolean {
    return this.#attention.has(value);
  }

  isPerChannel(value: Value): boolean {
    return !this.#activations.has(value) && findOnlyAxis(value) !== undefined;
  }

  mixes(node: Node): boolean {
    return (node.op === 'MatMul' || node.op === 'Einsum') && this.#inputs(node).length > 1;
  }

  /** The activations that a node reads. */
  #inputs(node: Node): Value[] {
    return node.inputs.filter((input): input is Value => input !== undefined && this.#activations.has(input));
  }

  #outputs(node: Node): Value[] {
    return node.outputs.filter((output): output is Value => output !== undefined);
  }

  #markAttention(node: Node): void {
    const [output] = this.#outputs(node);
    if (!output) return;
    const inputs = this.#inputs(node);
    // A residual connection brings the activation itself back.
    const plain = inputs.some((input) => !this.#attention.has(input) && hasSameDims(input, output));
    const passes =
      node.op !== 'MatMul' &&
      !channelsFirstOperators.has(node.op) &&
      inputs.some((input) => mapAxes(node, input, output));
    const fromAttention = inputs.some((input) => this.#attention.has(input));
    if (this.mixes(node) || (fromAttention && passes && !plain)) {
      for (const one of this.#outputs(node)) this.#attention.add(one);
    }
  }

  #link(node: Node): void {
    if (channelsFirstOperators.has(node.op) || this.mixes(node)) return;
    for (const input of this.#inputs(node)) {
      for (const output of this.#outputs(node)) {
        const axes = mapAxes(node, input, output);
        if (!axes || this.#attention.has(input) || this.#attention.has(output)) continue;
        this.#addLink(input, output, axes);
        this.#addLink(
          output,
          input,
          axes.map((_, axis) => axes.indexOf(axis)),
        );
      }
    }
  }

  #addLink(from: Value, to: Value, axes: readonly number[]): void {
    const links = this.#links.get(from);
    if (links) links.push({ to, axes });
    else this.#links.set(from, [{ to, axes }]);
  }

  /** Gives a value its axis, and all that it tells of others. What is known already stays. */
  #set(value: Value | undefined, axis: number): void {
    if (!value || this.#attention.has(value)) return;
    const pending: [Value, number][] = [[value, axis]];
    for (let next = pending.pop(); next; next = pending.pop()) {
      const [one, at] = next;
      if (this.#axes.has(one)) continue;
      this.#axes.set(one, at);
      for (const { to, axes } of this.#links.get(one) ?? []) {
        const there = axes[at];
        if (there !== undefined && there >= 0) pending.push([to, there]);
      }
    }
  }

  #seedFirst(node: Node): void {
    if (!channelsFirstOperators.has(node.op)) return;
    this.#set(node.inputs[0], 1);
    this.#set(node.outputs[0], 1);
  }

  #seedNorm(node: Node): void {
    const axis = node.attributes.axis;
    const rank = getRank(node.inputs[0]);
    if (node.op !== 'LayerNormalization' || normalizeAxis(axis?.type === 'int' ? axis.value : -1, rank) !== rank - 1)
      return;
    this.#set(node.inputs[0], rank - 1);
    this.#set(node.outputs[0], rank - 1);
  }

  #seedScale(node: Node): void {
    const [x] = this.#inputs(node);
    const constant = node.inputs.find((input) => input && !this.#activations.has(input));
    const axis = constant && findOnlyAxis(constant);
    if (!scalingOperators.has(node.op) || axis === undefined || !x || getRank(x) + axis < 1) return;
    this.#set(x, getRank(x) + axis);
    this.#set(node.outputs[0], getRank(x) + axis);
  }

  #seedProduct(node: Node): void {
    const [x, weight] = node.inputs;
    if (node.op !== 'MatMul' || !x || !weight || this.#activations.has(weight) || getRank(weight) !== 2) return;
    this.#set(x, getRank(x) - 1);
    this.#set(node.outputs[0], getRank(x) - 1);
  }
}

/** Finds the channels of every activation of a typed graph. Linear in nodes and edges. */
export function findChannelAxes(graph: Graph): ChannelAxes {
  return new ChannelAnalysis(graph);
}
