import { ShiboriError } from '../errors.js';
import type { Graph, Node, Value } from '../graph/model.js';
import { CONSTANT_PREFIX } from '../graph/parameters.js';
import { findUses } from '../graph/uses.js';
import { describeScores } from '../ops/scores/scores.js';
import { getOutputAxis } from '../passes/recognisers/linear.js';
import { rewrite } from '../passes/rewrite.js';
import { countElements } from '../tensor/dims.js';
import { expectFloat32, type Tensor } from '../tensor/tensor.js';
import { at } from '../values.js';
import { createInitialStream, type Initializer, linearInitializer } from './initialize.js';

/** The last layer of a classifier: where its weight and bias are, and which axes count the classes. */
interface ClassifierHead {
  readonly node: Node;
  readonly weight: Value;
  readonly classAxis: number;
  readonly fanIn: number;
  readonly bias: Value | undefined;
}

const createHeadError = (found: string): ShiboriError =>
  new ShiboriError(
    `A fresh head replaces the last linear layer, of which no parameter is used twice; ${found}. Train without \`head\`, or export the model with a plain linear layer at its end.`,
    { code: 'unsupported-model' },
  );

/** Walks back from the scores to the layer that computes them. */
function findClassifierHead(graph: Graph): ClassifierHead {
  const uses = findUses(graph);
  const isParameter = (value: Value | undefined): value is Value =>
    value !== undefined && graph.initializers.has(value) && !value.name.startsWith(CONSTANT_PREFIX);
  // One number for all scores fits any number of them.
  const isList = (value: Value) => countElements(graph.initializers.get(value)?.dims ?? []) > 1;
  let value = graph.outputs[0];
  let bias: Value | undefined;
  for (let node = value && uses.producer(value); node; node = value && uses.producer(value)) {
    const [, weight, own] = node.inputs;
    const dims = weight && isParameter(weight) ? graph.initializers.get(weight)?.dims : undefined;
    const classAxis = getOutputAxis(node, dims?.length ?? 0);
    if (classAxis !== undefined) {
      if (!weight || !dims) throw createHeadError(`node "${node.name}" (${node.op}) has no weight of its own`);
      const size = countElements(dims);
      const found = { node, weight, classAxis, fanIn: size / at(dims, classAxis), bias: own ?? bias };
      for (const part of [found.weight, found.bias]) {
        if (part && uses.consumers(part).length > 1) throw createHeadError(`"${part.name}" is used by several nodes`);
      }
      return found;
    }
    const inputs: Value[] = node.inputs.flatMap((input) => (input && !graph.initializers.has(input) ? [input] : []));
    const lists = node.inputs.filter((input): input is Value => isParameter(input) && isList(input));
    if (node.op === 'Add') bias = lists[0] ?? bias;
    else if (lists.length > 0) throw createHeadError(`node "${node.name}" (${node.op}) with parameters comes after it`);
    value = inputs[0];
  }
  throw createHeadError('the scores are not computed by one');
}

/** The names of the last layer's parameters. Throws ShiboriError when it is no linear layer. */
export function listHeadParameters(graph: Graph): string[] {
  const { weight, bias } = findClassifierHead(graph);
  return [weight.name, ...(bias ? [bias.name] : [])];
}

/**
 * Replaces the last layer of a classifier (Gemm, MatMul with or without Add, a convolution before pooling) by a fresh
 * one of another number of classes. Its parameters keep their names; they begin as PyTorch's `nn.Linear`: uniform in
 * ±1/√fan-in, drawn from a stream of the seed.
 *
 * @returns the graph, and the names of the head's parameters.
 * @throws ShiboriError when the last layer is none of these, or when the rest of the graph relies on the old number.
 */
export function withFreshHead(
  graph: Graph,
  classes: number,
  seed: number,
): { readonly graph: Graph; readonly parameters: readonly string[] } {
  const { weight, classAxis, fanIn, bias } = findClassifierHead(graph);
  const before = graph.initializers.get(weight)?.dims[classAxis];
  // A model that tells two classes apart by one column keeps doing so.
  const columns = classes === 2 && describeScores(graph)?.labels === 'binary' ? 1 : classes;
  const draw = linearInitializer(fanIn);
  const drawReplacement = (old: Tensor, axis: number, position: number, by: Initializer): Tensor => {
    const { dims } = expectFloat32(old, 'A fresh head for a model of float32');
    return by(
      dims.map((dim, i) => (i === axis ? columns : dim)),
      createInitialStream(seed, position),
    );
  };
  const fresh = rewrite(graph, {
    initializer: (value, old) => {
      if (value === weight) return drawReplacement(old, classAxis, 0, draw);
      if (value !== bias) return old;
      const axis = old.dims.lastIndexOf(before ?? 0);
      return drawReplacement(old, axis, 1, draw);
    },
  });
  const found = fresh.outputs[0]?.type?.dims[1];
  if (found === columns) return { graph: fresh, parameters: listHeadParameters(graph) };
  throw createHeadError(
    `with ${classes} classes its first output would be [N, ${found ?? '?'}], so something after "${weight.name}" relies on ${before ?? 'the old number'}`,
  );
}
