import { ShiboriError } from '../errors.js';
import type { Dim, Graph, Node, Value } from '../graph/model.js';
import { listReads } from '../graph/reads.js';
import { listNodesFor } from '../graph/uses.js';
import { GraphBuilder } from '../ops/builder.js';
import type { Tensor } from '../tensor/tensor.js';

/** What computes an old value from now on. */
export interface Replacement {
  /** The old values that it reads: they must come before the replaced one. */
  readonly reads: readonly Value[];
  /**
   * Adds the new nodes; gets the new values of `reads`. The old value's name is kept for the new one (`outputName`); an
   * output of the graph gets it in any case.
   */
  emit(reads: readonly Value[], builder: GraphBuilder): Value;
}

/** How `rewrite` changes a graph on its way through the builder. Everything left out stays as it is. */
export interface RewriteOptions {
  /** New dimensions of graph inputs, by name; types after them are inferred again. */
  readonly inputDims?: Readonly<Record<string, readonly Dim[]>>;
  /** Old values whose computation is kept; the rest is dropped as dead. Default: the graph's outputs. */
  readonly outputs?: readonly Value[];
  /**
   * Old values that become inputs of the new graph: what computed them is cut off, and an initializer among them is
   * fed from then on.
   */
  readonly cutAt?: readonly Value[];
  /** Old values that are computed in another way; what only served to compute them is dropped. */
  readonly replace?: ReadonlyMap<Value, Replacement>;
  /** The tensor an initializer has from now on. */
  readonly initializer?: (value: Value, data: Tensor) => Tensor;
  /**
   * Replaces a node: returns its new outputs, or `undefined` to copy it. Inputs are already the new values. `inline`
   * copies a graph that lies inside of the node to its place, and returns the new values of that graph's outputs.
   */
  readonly node?: (
    node: Node,
    inputs: readonly (Value | undefined)[],
    builder: GraphBuilder,
    inline: (inner: Graph) => readonly Value[],
  ) => readonly (Value | undefined)[] | undefined;
}

/** A graph being rewritten: the builder, still open, and where each old value went. */
export interface Rewriting {
  readonly builder: GraphBuilder;
  /** The new value of an old one. Throws when it was dropped as dead. */
  mapValue(old: Value): Value;
}

/**
 * Copies a graph node by node into a new builder, changing what the options say. What is known before running (shapes
 * of fixed dimensions, and what is computed from them) becomes a constant on the way, unless it is an output. The
 * caller may continue building (a loss, gradients) before it calls `builder.build`.
 */
export function startRewrite(graph: Graph, options: RewriteOptions = {}): Rewriting {
  const builder = new GraphBuilder();
  const moved = new Map<Value, Value>();
  const cut = new Set(options.cutAt);
  // A replacement stands in for the node that it replaces, so that its inputs decide which values are alive.
  const standIns = new Map<Node, Replacement>();
  const withStandIns = graph.nodes.map((node) => {
    const output = node.outputs.find((value) => value && options.replace?.has(value));
    const replacement = output && options.replace?.get(output);
    if (!replacement) return node;
    const standIn = { ...node, inputs: replacement.reads, outputs: [output] };
    standIns.set(standIn, replacement);
    return standIn;
  });
  const nodes = listNodesFor({ ...graph, nodes: withStandIns }, options.outputs ?? graph.outputs, cut);
  // Whoever asks for it by name finds the new value.
  for (const node of nodes) if (standIns.has(node) && node.outputs[0]) builder.reserve(node.outputs[0].name);
  const used = new Set<Value>(options.outputs ?? graph.outputs);
  for (const node of nodes) for (const value of listReads(node)) used.add(value);

  for (const input of graph.inputs) {
    if (!used.has(input)) continue;
    const dims = options.inputDims?.[input.name] ?? input.type?.dims;
    if (!input.type || !dims) {
      throw new ShiboriError(`Input "${input.name}" has no declared type. Give its dimensions (\`inputSize\`).`, {
        code: 'invalid-graph',
      });
    }
    moved.set(input, builder.input(input.name, input.type.dtype, dims));
  }
  for (const value of cut) {
    if (moved.has(value)) continue;
    const type = value.type ?? graph.initializers.get(value);
    if (!type)
      throw new ShiboriError(`The graph cannot be cut at "${value.name}": its dimensions are not known.`, {
        code: 'invalid-graph',
      });
    moved.set(value, builder.input(value.name, type.dtype, options.inputDims?.[value.name] ?? type.dims));
  }
  for (const [value, data] of graph.initializers) {
    if (!used.has(value) || moved.has(value)) continue;
    moved.set(value, builder.initializer(value.name, options.initializer?.(value, data) ?? data));
  }

  const mapValue = (old: Value): Value => {
    const value = moved.get(old);
    if (value) return value;
    throw new ShiboriError(`Value "${old.name}" is not part of the rewritten graph.`, { code: 'invalid-graph' });
  };
  const results = new Set<Value>(options.outputs ?? graph.outputs);
  const emitReplacement = (
    standIn: Replacement,
    old: Value | undefined,
    inputs: readonly (Value | undefined)[],
  ): Value => {
    const value = standIn.emit(
      inputs.flatMap((input) => input ?? []),
      builder,
    );
    if (!old || value.name === old.name || !results.has(old)) return value;
    return builder.op('Identity', [value], {}, { outputName: old.name });
  };
  const copy = (node: Node): readonly (Value | undefined)[] => {
    const inputs = node.inputs.map((input) => input && mapValue(input));
    const standIn = standIns.get(node);
    if (standIn) return [emitReplacement(standIn, node.outputs[0], inputs)];
    const replaced = options.node?.(node, inputs, builder, inline);
    if (replaced) return replaced;
    if (node.outputs.some((output) => output && results.has(output))) return builder.copy(node, inputs);
    return builder.foldKnownOutputs(node, inputs) ?? builder.copy(node, inputs);
  };
  const copyAll = (originals: readonly Node[]) => {
    for (const node of originals) {
      const outputs = copy(node);
      for (const [i, output] of node.outputs.entries()) {
        const replacement = outputs[i];
        if (output && replacement && !moved.has(output)) moved.set(output, replacement);
      }
    }
  };
  const inline = (inner: Graph): readonly Value[] => {
    for (const [value, data] of inner.initializers) moved.set(value, builder.initializer(value.name, data));
    copyAll(inner.nodes);
    return inner.outputs.map(mapValue);
  };
  copyAll(nodes);
  return { builder, mapValue };
}

/** `startRewrite` and the finished graph, with the same outputs in the same order. */
export function rewrite(graph: Graph, options: RewriteOptions = {}): Graph {
  const { builder, mapValue: of } = startRewrite(graph, options);
  for (const output of options.outputs ?? graph.outputs) builder.output(of(output));
  return builder.build(graph.name);
}

/** Returns the graph with these input dimensions and every type after them inferred again. */
export function bindInputs(graph: Graph, inputDims: Readonly<Record<string, readonly Dim[]>> = {}): Graph {
  return rewrite(graph, { inputDims });
}
