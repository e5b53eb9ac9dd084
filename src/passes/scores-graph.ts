import type { Graph } from '../graph/model.js';
import { appendColumns } from '../ops/scores/append.js';
import { type ChosenOutput, chooseOutput } from '../ops/scores/choose-output.js';
import { findScores, type Scores } from '../ops/scores/scores.js';
import { rewrite, startRewrite } from './rewrite.js';

/**
 * Cuts a graph down to what its scores depend on: the only output is `[N, columns]`, what `scores.source` says.
 *
 * @param scores default: those of the graph as a classifier.
 */
export function cutToScores(graph: Graph, scores: Scores = findScores(graph)): Graph {
  const { builder, mapValue: of } = startRewrite(graph, { outputs: [scores.source.value] });
  builder.output(appendColumns(builder, of(scores.source.value)));
  return builder.build(graph.name);
}

/** The graph without its other outputs and what only these need. */
export function withScoresAlone(graph: Graph): Graph {
  const [scores, ...others] = graph.outputs;
  return scores && others.length > 0 ? rewrite(graph, { outputs: [scores] }) : graph;
}

/** A graph with its scores as the first output, and what it takes to write it as it was. */
export interface ScoresFirstResult {
  readonly graph: Graph;
  /** The file's outputs in the file's order, where the graph has others. */
  readonly outputs?: readonly string[];
  readonly chosen?: ChosenOutput;
}

/**
 * Puts the output that holds the scores first, as `[N, columns]`; the others follow. Unchanged where it is so already and
 * where no output can hold scores.
 *
 * @throws UsageError as `chooseOutput`.
 */
export function withScoresFirst(graph: Graph, options: Parameters<typeof chooseOutput>[1] = {}): ScoresFirstResult {
  const chosen = chooseOutput(graph, options);
  if (!chosen) return { graph };
  const { output } = chosen;
  const isFlat = output.type?.dims.length === 2;
  if (isFlat && graph.outputs[0] === output) return { graph, chosen };
  const { builder, mapValue: of } = startRewrite(graph);
  builder.scope = `${output.name}/scores`;
  builder.output(isFlat ? of(output) : appendColumns(builder, of(output)));
  for (const other of graph.outputs) if (!isFlat || other !== output) builder.output(of(other));
  return { graph: builder.build(graph.name), outputs: graph.outputs.map(({ name }) => name), chosen };
}

/** The graph with outputs of these names in this order, as a file had them. */
export function withOutputs(graph: Graph, names: readonly string[]): Graph {
  const outputs = names.map((name) => graph.outputs.find((output) => output.name === name));
  // A model whose end was made anew has an output of its own.
  if (outputs.some((output) => output === undefined)) return graph;
  return rewrite(graph, { outputs: outputs.filter((output) => output !== undefined) });
}
