/**
 * Reverse-mode automatic differentiation as a graph transform.
 *
 * For a scalar L and the node y = f(x1, x2, …), dL/dxi = (dL/dy) (dy/dxi), summed over all the uses of xi. The walker
 * visits the nodes from L backwards, asks the table of rules for each node's vector-Jacobian product as new ONNX
 * nodes, adds up what several uses contribute, and sums a broadcast gradient to its input's dimensions: rules do
 * neither. Source: Griewank and Walther, Evaluating Derivatives, 2nd ed., chapter 3.
 */

import { ShiboriError } from '../errors.js';
import { formatDims, isStatic } from '../graph/dims.js';
import type { Graph, Node, Value } from '../graph/model.js';
import type { GraphBuilder } from '../ops/builder.js';
import { type Op, readAttributes, readOp } from '../ops/table.js';
import { startRewrite } from '../passes/rewrite.js';
import { areDimsEqual, countElements } from '../tensor/dims.js';
import { isFloat } from '../tensor/dtype.js';
import { defined } from '../values.js';
import type { RuleContext, RuleEntry } from './rule.js';
import { rules } from './rules/table.js';
import { readStaticDims } from './static-dims.js';

/** Sums a gradient that has broadcast dimensions back to the dimensions of what was broadcast. */
export function sumTo(builder: GraphBuilder, gradient: Value, dims: readonly number[]): Value {
  const from = readStaticDims(gradient);
  const extra = from.length - dims.length;
  const axes = from.flatMap((size, axis) => (axis < extra || (dims[axis - extra] === 1 && size !== 1) ? [axis] : []));
  let summed = gradient;
  if (axes.length > 0) summed = builder.op('ReduceSum', [gradient, builder.ints(axes)], { keepdims: 1 });
  if (extra > 0) summed = builder.op('Reshape', [summed, builder.ints(dims)]);
  if (!areDimsEqual(readStaticDims(summed), dims)) {
    throw new ShiboriError(
      `A gradient of dimensions ${formatDims(from)} does not sum to ${formatDims(dims)}: the rule that made "${gradient.name}" is wrong.`,
      { code: 'no-gradient' },
    );
  }
  return summed;
}

function createRuleContext(
  builder: GraphBuilder,
  node: Node,
  wanted: ReadonlySet<Value>,
): Omit<RuleContext<Op>, 'dy' | 'y'> {
  const fail = (message: string): ShiboriError =>
    new ShiboriError(`Gradient of node "${node.name}" (${node.op}): ${message}`, { code: 'no-gradient' });
  return {
    builder,
    node,
    attributes: readAttributes(readOp(node), node),
    x(i) {
      const input = node.inputs[i];
      if (input) return input;
      throw fail(`input ${i} is missing.`);
    },
    has: (i) => node.inputs[i] !== undefined,
    needs(i) {
      const input = node.inputs[i];
      return input !== undefined && wanted.has(input);
    },
    dims: readStaticDims,
    constant(i) {
      const input = node.inputs[i];
      const data = input && builder.findTensor(input)?.data;
      if (data) return Array.from(data, Number);
      const contents = input && builder.findContents(input);
      return contents && isStatic(contents) ? contents : undefined;
    },
    fail,
  };
}

/**
 * Appends to a builder the nodes that compute dL/dv for each of `wrt`.
 *
 * @param of the scalar L, float, one element.
 * @param wrt values that L depends on; their gradients have their dimensions and dtype.
 * @param options.partial leaves out values that L does not depend on, instead of throwing. Default: false.
 * @returns the gradient of each value of `wrt`.
 * @throws ShiboriError when L does not depend on a value, when a dimension is symbolic, or when an operator on the way
 *   has no rule: names the node and what to do.
 */
export function appendGradients(
  builder: GraphBuilder,
  of: Value,
  wrt: readonly Value[],
  options: { readonly partial?: boolean } = {},
): Map<Value, Value> {
  const forward = [...builder.nodes];
  const wanted = new Set<Value>(wrt);
  for (const node of forward) {
    // A gradient passes through a node only if it can come out of one of its inputs.
    const entry: RuleEntry<never> = rules[readOp(node)];
    if (typeof entry === 'object' && entry.kind === 'not-differentiable') continue;
    if (!node.inputs.some((input) => input && wanted.has(input))) continue;
    for (const output of node.outputs) if (output?.type && isFloat(output.type.dtype)) wanted.add(output);
  }

  const gradients = new Map<Value, Value>();
  const dtype = of.type?.dtype;
  const dims = readStaticDims(of);
  if ((dtype !== 'float32' && dtype !== 'float64') || countElements(dims) !== 1) {
    throw new ShiboriError(
      `A gradient is that of one float32 or float64 number, but "${of.name}" is ${dtype} ${formatDims(dims)}. Reduce it to a scalar first (ReduceSum).`,
      { code: 'no-gradient' },
    );
  }
  const one = builder.scalar(1, dtype);
  gradients.set(of, dims.length === 0 ? one : builder.op('Expand', [one, builder.ints(dims)]));
  for (let i = forward.length - 1; i >= 0; i--) {
    const node = forward[i];
    if (!node) continue;
    const dys = node.outputs.map((output) => (output && wanted.has(output) ? gradients.get(output) : undefined));
    if (dys.every((dy) => dy === undefined)) continue;
    builder.within(`gradient/${node.name}`, () => {
      for (const [index, gradient] of appendVectorJacobianProduct(builder, node, dys, wanted).entries()) {
        const input = node.inputs[index];
        if (!gradient || !input || !wanted.has(input)) continue;
        const own = sumTo(builder, gradient, readStaticDims(input));
        const before = gradients.get(input);
        gradients.set(input, before ? builder.op('Add', [before, own]) : own);
      }
    });
  }

  const results = new Map<Value, Value>();
  for (const value of wrt) {
    const gradient = gradients.get(value);
    if (!gradient && options.partial) continue;
    if (!gradient) {
      throw new ShiboriError(
        `"${of.name}" does not depend on "${value.name}" (or only through operators without a gradient): there is no gradient to compute.`,
        { code: 'no-gradient' },
      );
    }
    results.set(value, gradient);
  }
  return results;
}

function appendVectorJacobianProduct(
  builder: GraphBuilder,
  node: Node,
  dys: readonly (Value | undefined)[],
  wanted: ReadonlySet<Value>,
): readonly (Value | undefined)[] {
  const op = readOp(node);
  // The table pairs each operator with the rule for exactly its attributes; the walker does not know which it holds.
  const entry = rules[op] as RuleEntry<typeof op>;
  if (typeof entry !== 'function' && entry.kind === 'unsupported') {
    throw new ShiboriError(
      `Node "${node.name}" (${op}) has no gradient rule: ${entry.reason} Choose a layer after it, or train only parameters after it.`,
      { code: 'no-gradient', node: node.name },
    );
  }
  if (typeof entry !== 'function' && entry.kind === 'not-differentiable') return [];
  const context = createRuleContext(builder, node, wanted);
  if (typeof entry !== 'function') return entry.rule({ ...context, dys });
  const [y] = node.outputs;
  const [dy, ...others] = dys;
  if (!y || !dy || others.some((other) => other)) throw context.fail('only its first output is differentiated.');
  return entry({ ...context, dy, y });
}

/**
 * A graph that computes the outputs of `graph` and, after them, the gradients of a scalar output.
 *
 * @param options.of the scalar value to differentiate (default: the first output).
 * @param options.wrt inputs, initializers or activations of `graph`.
 * @param options.inputDims fixed dimensions of the inputs, where the graph leaves them open.
 * @returns the new graph; the gradients follow the original outputs in the order of `wrt`, each called
 *   `gradient/` and the name of its value.
 * @example
 * const builder = new GraphBuilder();
 * const x = builder.input('x', 'float32', [2]);
 * builder.output(builder.op('ReduceSum', [builder.op('Mul', [x, x])], { keepdims: 0 }));
 * const { graph: withGradients } = gradient(builder.build('square'), { wrt: [x] });
 * const results = await runOnce(nodeEngine(), withGradients, { x: float32([3, 4]) });
 * Array.from(results['gradient/x']?.data ?? [], Number); // [6, 8]
 */
export function gradient(
  graph: Graph,
  options: {
    readonly of?: Value;
    readonly wrt: readonly Value[];
    readonly inputDims?: Readonly<Record<string, readonly number[]>>;
  },
): { readonly graph: Graph; readonly gradients: readonly Value[] } {
  const of = options.of ?? graph.outputs[0];
  if (!of) throw new ShiboriError(`Graph "${graph.name}" has no output to differentiate.`, { code: 'no-gradient' });
  const { builder, mapValue: moved } = startRewrite(graph, {
    outputs: [...new Set([...graph.outputs, of])],
    ...defined({ inputDims: options.inputDims }),
  });
  const wrt = options.wrt.map(moved);
  const found = appendGradients(builder, moved(of), wrt);
  for (const output of graph.outputs) builder.output(moved(output));
  const gradients = wrt.map((value) =>
    // One gradient may serve two values (dA = dB = dY), but every output needs a name of its own.
    builder.op('Identity', [found.get(value)], {}, { name: 'gradient', outputName: `gradient/${value.name}` }),
  );
  for (const value of gradients) builder.output(value);
  return { graph: builder.build(graph.name), gradients };
}
