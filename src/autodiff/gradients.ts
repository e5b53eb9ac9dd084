/** Gradients of a scalar of any graph, computed: the short way to what `gradient` builds as a graph. */
import type { Engine } from '../engine/engine.js';
import { runOnce } from '../engine/engine.js';
import { formatSuggestion, ShiboriError, UsageError } from '../errors.js';
import { formatDims } from '../graph/dims.js';
import type { Graph, Value } from '../graph/model.js';
import { listParameters } from '../graph/parameters.js';
import { startRewrite } from '../passes/rewrite.js';
import { expectFloat32, type Tensor } from '../tensor/tensor.js';
import { type Expression, max } from './expression.js';
import { appendGradients } from './gradient.js';

/** Lists the options of {@link computeGradients}. */
export interface GradientsOptions<W extends string = string> {
  /**
   * Builds the number of each image that is differentiated, from the graph's outputs in their order. What has more elements
   * than one is summed: images do not interact, so each keeps its own gradient. Default: the highest score.
   */
  readonly of?: (...outputs: readonly Expression[]) => Expression;
  /**
   * What it is differentiated by: `input` (the images), or names of inputs, parameters and activations of the graph.
   * One name or several.
   */
  readonly wrt: W | readonly W[];
}

/** Holds what {@link computeGradients} computed. */
export interface Gradients<W extends string = string> {
  /** The gradient of each of `wrt` by its name, with the dimensions of what it belongs to, float32. */
  readonly gradients: Readonly<Record<W, Tensor<'float32'>>>;
  /** The number that was differentiated, before images were summed: `[N]`, float32. */
  readonly value: Tensor<'float32'>;
  /** The graph's outputs by name. */
  readonly outputs: Readonly<Record<string, Tensor>>;
}

/** Finds a value of a graph by name; `input` is the first input. */
function findValue(graph: Graph, name: string): Value {
  const values = [...graph.inputs, ...graph.initializers.keys(), ...graph.nodes.flatMap(({ outputs }) => outputs)];
  const named = values.find((value) => value?.name === name);
  const parameter = listParameters(graph).find((each) => each.name === name)?.value;
  const found = named ?? parameter ?? (name === 'input' ? graph.inputs[0] : undefined);
  if (found) return found;
  const names = ['input', ...values.flatMap((value) => value?.name ?? [])];
  throw new UsageError(`The graph has no value "${name}" to differentiate by.${formatSuggestion(name, names)}`, {
    option: 'wrt',
  });
}

/**
 * Computes gradients of a graph with one input.
 *
 * @param images `[N, …]` float32, what the graph's first input takes.
 * @throws UsageError for a name that the graph does not have, with the nearest one; ShiboriError (`no-gradient`) where the
 *   number does not depend on a value, or an operator on the way has no gradient rule.
 * @see Griewank and Walther, Evaluating Derivatives, 2nd ed., chapter 3: reverse mode.
 */
export async function computeGradients<const W extends string>(
  engine: Engine,
  graph: Graph,
  options: GradientsOptions<W>,
  images: Tensor<'float32'>,
): Promise<Gradients<W>> {
  const [input] = graph.inputs;
  if (!input || graph.outputs.length === 0) {
    throw new ShiboriError(`Graph "${graph.name}" has no input or no output: there is nothing to differentiate.`, {
      code: 'unsupported-model',
    });
  }
  const names: readonly W[] = typeof options.wrt === 'string' ? [options.wrt] : options.wrt;
  const values = names.map((name) => findValue(graph, name));
  const declared = input.type?.dims;
  if (declared && declared.length !== images.dims.length) {
    throw new UsageError(
      `Input "${input.name}" takes ${formatDims(declared)}, the images are ${formatDims(images.dims)}.`,
      { option: 'images' },
    );
  }
  const { builder, mapValue } = startRewrite(graph, {
    inputDims: { [input.name]: images.dims },
    outputs: [...new Set([...graph.outputs, ...values.filter((value) => !graph.initializers.has(value))])],
  });
  const outputs = graph.outputs.map(mapValue);
  const expressions = outputs.map((value): Expression => ({ build: () => value }));
  const [scores] = expressions;
  const of = options.of ? options.of(...expressions) : max(scores as Expression);
  const perImage = of.build(builder);
  const total = builder.op('ReduceSum', [perImage], { keepdims: 0 });
  const mapped = values.map(mapValue);
  const found = appendGradients(builder, total, mapped);
  for (const value of outputs) builder.output(value);
  const value = builder.op('Identity', [perImage], {}, { outputName: 'gradients/value' });
  const results = mapped.map((each, i) =>
    builder.op('Identity', [found.get(each)], {}, { outputName: `gradients/${names[i]}` }),
  );
  for (const each of [value, ...results]) builder.output(each);
  const tensors = await runOnce(engine, builder.build(graph.name), { [input.name]: images });
  const gradients = Object.fromEntries(
    results.map(({ name }, i) => [names[i], expectFloat32(tensors[name], `the gradient of "${names[i]}"`)]),
  ) as Record<W, Tensor<'float32'>>;
  return {
    gradients,
    value: expectFloat32(tensors[value.name], 'the value'),
    outputs: Object.fromEntries(
      graph.outputs.flatMap(({ name }, i) => {
        const tensor = tensors[outputs[i]?.name ?? name];
        return tensor ? [[name, tensor]] : [];
      }),
    ),
  };
}
