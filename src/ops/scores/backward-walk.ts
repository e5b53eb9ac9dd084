import type { Dim, Graph, Node, Value } from '../../graph/model.js';
import { findUses, type Uses } from '../../graph/uses.js';
import { isFloat } from '../../tensor/dtype.js';
import { readAttributes } from '../table.js';

/** Operators that only lay elements out in another way. */
const layoutOps = new Set([
  'Cast',
  'Dropout',
  'Expand',
  'Flatten',
  'Identity',
  'Reshape',
  'Squeeze',
  'Transpose',
  'Unsqueeze',
]);

/** Operators that change no element where the axes they remove or reduce have one element each. */
const oneElementOps = new Set([
  'GlobalAveragePool',
  'GlobalMaxPool',
  'ReduceMax',
  'ReduceMean',
  'ReduceMin',
  'ReduceProd',
  'ReduceSum',
]);

/** Constants no larger than this keep a logarithm or a quotient finite and do not change what a value is. */
const LARGEST_EPSILON = 1e-3;

/** How deep two expressions are compared. */
const MAX_COMPARISON_DEPTH = 8;

/** Reads a graph backwards from values of one element for each class (or one alone) of each image. */
export class BackwardWalk {
  readonly #uses: Uses;

  /**
   * @param columns elements of an image's scores.
   * @param batch the first dimension of the scores.
   */
  constructor(
    readonly graph: Graph,
    readonly columns: number,
    readonly batch: Dim | undefined,
  ) {
    this.#uses = findUses(graph);
  }

  /** The node that computes a value. */
  findProducer(value: Value | undefined): Node | undefined {
    return value && this.#uses.producer(value);
  }

  /** Whether a value holds so many elements of each image along one axis. Values without a type are taken to. */
  #holds({ type }: Value, elements: number): boolean {
    if (!type) return true;
    const [first, ...rest] = type.dims;
    const sizes = rest.map(Number);
    const isBatch = first === this.batch || typeof first === 'string';
    return (
      isBatch &&
      isFloat(type.dtype) &&
      sizes.filter((size) => size !== 1).length <= 1 &&
      sizes.reduce((product, size) => product * size, 1) === elements
    );
  }

  /** Whether a value holds one element for each class of each image. */
  isRow(value: Value): boolean {
    return this.#holds(value, this.columns);
  }

  /** Whether a value holds one element for each image. */
  isPerImage(value: Value): boolean {
    return this.#holds(value, 1);
  }

  /** Finds the value that another one only reshapes, transposes or casts. */
  skipLayout(value: Value): Value {
    let current = value;
    for (;;) {
      const node = this.findProducer(current);
      const [input] = node?.inputs ?? [];
      if (!node || !input || node.outputs[0] !== current) return current;
      if (!layoutOps.has(node.op) && !this.#keepsElements(node, input, current)) return current;
      if (!this.isRow(input) && !this.isPerImage(input)) return current;
      current = input;
    }
  }

  /** Whether a node only drops axes of one element: `x[:, :, 0, 0]`, or a mean over 1×1 pixels. */
  #keepsElements(node: Node, input: Value, output: Value): boolean {
    if (!input.type || !output.type) return false;
    const isAsLong = this.isRow(input) ? this.isRow(output) : this.isPerImage(input) && this.isPerImage(output);
    if (!isAsLong || node.op !== 'Gather') return isAsLong && oneElementOps.has(node.op);
    const { axis } = readAttributes('Gather', node);
    return input.type.dims[axis < 0 ? axis + input.type.dims.length : axis] === 1;
  }

  /** The number that a constant holds, where all its elements are the same. */
  readConstant(value: Value | undefined): number | undefined {
    const data = value && this.graph.initializers.get(value)?.data;
    if (!data || data.length === 0) return undefined;
    const first = Number(data[0]);
    return data.every((element: number | bigint) => Number(element) === first) ? first : undefined;
  }

  /** The input of a node that is no constant, and the constant that its other input is. */
  findConstantOperand({
    inputs,
  }: Node): { readonly value: Value; readonly constant: number; readonly at: number } | undefined {
    for (const [at, other] of [
      [0, inputs[1]],
      [1, inputs[0]],
    ] as const) {
      const constant = this.readConstant(other);
      const value = inputs[at];
      if (value && constant !== undefined && inputs.length === 2) return { value, constant, at };
    }
    return undefined;
  }

  /** The value that is only kept from 0 or from exceeding a bound, or has a tiny constant added; itself otherwise. */
  skipBounds(value: Value): Value {
    let current = this.skipLayout(value);
    for (;;) {
      const node = this.findProducer(current);
      const bounded = node && this.#bounded(node);
      if (!bounded) return current;
      current = this.skipLayout(bounded);
    }
  }

  #bounded(node: Node): Value | undefined {
    if (node.op === 'Clip') return node.inputs[0];
    const pair = this.findConstantOperand(node);
    if (!pair) return undefined;
    if (node.op === 'Max' || node.op === 'Min') return pair.value;
    const isTiny = Math.abs(pair.constant) <= LARGEST_EPSILON;
    return isTiny && (node.op === 'Add' || (node.op === 'Sub' && pair.at === 0)) ? pair.value : undefined;
  }

  /** Whether two values are computed in the same way from the same values. */
  isSame(a: Value | undefined, b: Value | undefined, depth = MAX_COMPARISON_DEPTH): boolean {
    if (!a || !b) return a === b;
    const [first, second] = [this.skipLayout(a), this.skipLayout(b)];
    if (first === second) return true;
    const [x, y] = [this.findProducer(first), this.findProducer(second)];
    if (!x || !y) {
      const constant = this.readConstant(first);
      return constant !== undefined && constant === this.readConstant(second);
    }
    return (
      depth > 0 &&
      x.op === y.op &&
      x.inputs.length === y.inputs.length &&
      JSON.stringify(x.attributes) === JSON.stringify(y.attributes) &&
      x.inputs.every((input, i) => this.isSame(input, y.inputs[i], depth - 1))
    );
  }

  /** The value whose classes an operator reduces to one number of each image; `undefined` for anything else. */
  findReduced(value: Value, ops: readonly string[]): Value | undefined {
    const sum = this.skipBounds(value);
    const node = this.findProducer(sum);
    const [input] = node?.inputs ?? [];
    if (!node || !input || !ops.includes(node.op) || !this.isPerImage(sum)) return undefined;
    return this.isRow(input) ? input : undefined;
  }
}
