import type { Graph, Value } from '../graph/model.js';
import { appendColumns } from '../ops/scores/append.js';
import { findScores, type Scores } from '../ops/scores/scores.js';
import type { PassResult } from './pass.js';
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

/**
 * Puts the output that holds the scores first, as `[N, columns]`; the others follow. The graph is unchanged where it has
 * that form already. `withOutputs` restores the outputs of the file.
 *
 * @param output Output that holds the scores, as `chooseOutput` finds it.
 */
export function withScoresFirst(graph: Graph, output: Value): PassResult {
  const isFlat = output.type?.dims.length === 2;
  if (isFlat && graph.outputs[0] === output) return { graph, notes: [] };
  const { builder, mapValue: of } = startRewrite(graph);
  const scores = builder.within(`${output.name}/scores`, () =>
    isFlat ? of(output) : appendColumns(builder, of(output)),
  );
  builder.output(scores);
  for (const other of graph.outputs) if (!isFlat || other !== output) builder.output(of(other));
  return { graph: builder.build(graph.name), notes: [] };
}

/** The graph with outputs of these names in this order, as a file had them. */
export function withOutputs(graph: Graph, names: readonly string[]): Graph {
  const outputs = names.map((name) => graph.outputs.find((output) => output.name === name));
  // A model whose end was replaced has an output of its own.
  if (outputs.some((output) => output === undefined)) return graph;
  return rewrite(graph, { outputs: outputs.filter((output) => output !== undefined) });
}
