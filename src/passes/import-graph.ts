import type { Graph, Model } from '../graph/model.js';
import { readAttributes } from '../ops/table.js';
import { dequantize } from './dequantize.js';
import { foldConstants, type NodeEvaluator } from './fold-constants.js';
import { nameLayersApart, nameNodesApart } from './name-layers.js';
import { startRewrite } from './rewrite.js';
import { settleWeights } from './settle-weights.js';
import type { PassResult } from './single-precision.js';
import { toSinglePrecision } from './single-precision.js';
import { upgradeOpset } from './upgrade-opset.js';
import { spellOutWideIntegers } from './upgrade-quantization.js';
import { moveWeightsToInitializers } from './weights-as-initializers.js';

/**
 * The graph of a model file in the one form that everything here works on: float32, operator set 18, not quantised,
 * weights as initializers under their own names (see `stored-weights.ts` for what counts as one), constants folded, dimensions known but for the batch.
 *
 * @param file names the file in errors.
 * @param evaluate computes a node: `evaluateNode` of the reference engine.
 * @returns the graph, and what a user should know of what was done, in sentences.
 * @throws ShiboriError as `upgradeOpset` does.
 */
export function importGraph(model: Model, file: string, evaluate: NodeEvaluator): PassResult {
  const named = nameNodesApart(model.graph);
  const widened = toSinglePrecision(moveWeightsToInitializers(named.graph));
  const upgraded = upgradeOpset({ ...model, graph: widened.graph }, file);
  const floats = dequantize(settleWeights(upgraded));
  const graph = foldConstants(settleWeights(spellOutWideIntegers(floats.graph)), evaluate);
  const notes = [...named.notes, ...widened.notes, ...floats.notes, ...listTrainingNotes(graph)];
  const names = model.graph.outputs.map(({ name }) => name);
  return { graph: withOutputNames(nameLayersApart(graph), names), notes };
}

/** The graph with these names of its outputs: a quantised weight that is one has become a float one of another name. */
function withOutputNames(graph: Graph, names: readonly string[]): Graph {
  if (graph.outputs.every((output, i) => output.name === names[i])) return graph;
  const { builder, mapValue: of } = startRewrite(graph);
  for (const [i, output] of graph.outputs.entries()) {
    const [value, outputName] = [of(output), names[i]];
    builder.output(
      outputName === undefined || value.name === outputName
        ? value
        : builder.op('Identity', [value], {}, { outputName }),
    );
  }
  return builder.build(graph.name);
}

/** What a user should know of a graph that normalises as in training. */
function listTrainingNotes({ nodes }: Graph): readonly string[] {
  const trained = nodes.filter(
    (node) => node.op === 'BatchNormalization' && readAttributes('BatchNormalization', node).training_mode === 1,
  ).length;
  if (trained === 0) return [];
  const nodesUse = trained === 1 ? '1 BatchNormalization node uses' : `${trained} BatchNormalization nodes use`;
  return [
    `It is in training mode: ${nodesUse} the statistics of the batch, so that scores depend on the other images of a batch. Export the model in evaluation mode.`,
  ];
}
