import type { Node, Value } from '../graph/model.js';
import type { GraphBuilder } from '../ops/builder.js';
import type { AttributesOf, Op } from '../ops/table.js';

/** What a rule may use. All dimensions are static. */
export interface RuleContext<K extends Op> {
  readonly builder: GraphBuilder;
  readonly node: Node;
  readonly attributes: AttributesOf<K>;
  /** Gradient of the node's first output; the same dimensions as that output. */
  readonly dy: Value;
  /** Input `i` of the forward node. Throws when it is left out. */
  x(i: number): Value;
  /** Whether input `i` is given at all. */
  has(i: number): boolean;
  /** First output of the forward node. */
  readonly y: Value;
  /** Whether anyone wants the gradient of input `i`: a rule may return `undefined` where not. */
  needs(i: number): boolean;
  /** Static dimensions of a value. */
  dims(value: Value): readonly number[];
  /** The numbers of an input known before running (axes, pads), or `undefined` when it is computed at run time. */
  constant(i: number): readonly number[] | undefined;
  /** An error that names the node and the operator. */
  fail(message: string): Error;
}

/**
 * Gradients of a node's inputs, given the gradient `dy` of its output. A rule may return a gradient with the
 * *broadcast* dimensions of the output: the walker sums it to the input's. `undefined` for inputs without a gradient.
 */
export type Rule<K extends Op> = (context: RuleContext<K>) => readonly (Value | undefined)[];

/** What the rule of an operator with several differentiable outputs may use. */
export interface SeveralOutputsContext<K extends Op> extends Omit<RuleContext<K>, 'dy' | 'y'> {
  /** The gradient of each output, with its dimensions; `undefined` where the loss does not depend on it. One is given. */
  readonly dys: readonly (Value | undefined)[];
}

/** The gradients of a node's inputs, given those of several outputs. */
export interface SeveralOutputsRule<K extends Op> {
  readonly kind: 'several-outputs';
  rule(context: SeveralOutputsContext<K>): readonly (Value | undefined)[];
}

/** The operator's output does not change smoothly with any input: a fact, gradients end here (comparisons, shapes). */
export interface NotDifferentiableEntry {
  readonly kind: 'not-differentiable';
}

/** A gradient exists but there is no rule for it yet. */
export interface UnsupportedEntry {
  readonly kind: 'unsupported';
  readonly reason: string;
}

/** One entry of the table of rules. */
export type RuleEntry<K extends Op> = Rule<K> | SeveralOutputsRule<K> | NotDifferentiableEntry | UnsupportedEntry;

/** One rule for every operator of these names: what a family file exports a part of. */
export type Rules<K extends Op> = { readonly [Name in K]: RuleEntry<Name> };

export function severalOutputs<K extends Op>(rule: SeveralOutputsRule<K>['rule']): SeveralOutputsRule<K> {
  return { kind: 'several-outputs', rule };
}

export const notDifferentiable: NotDifferentiableEntry = { kind: 'not-differentiable' };

export function unsupported(reason: string): UnsupportedEntry {
  return { kind: 'unsupported', reason };
}
