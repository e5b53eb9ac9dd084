import type { Graph, Model } from '../graph/model.js';
import { dequantize } from './dequantize.js';
import { foldConstants } from './fold-constants.js';
import { nameLayersApart, nameNodesApart } from './name-layers.js';
import { type Pass, type PassResult, runPasses } from './pass.js';
import { usesBatchStatistics } from './recognisers/batch-norm.js';
import { startRewrite } from './rewrite.js';
import { settleWeights } from './settle-weights.js';
import { toSinglePrecision } from './single-precision.js';
import { upgradeOpset } from './upgrade-opset.js';
import { spellOutWideIntegers } from './upgrade-quantization.js';
import { moveWeightsToInitializers } from './weights-as-initializers.js';

/** Lists the passes that bring the graph of a file into the form that everything here works on, in order. */
export const importPasses: readonly Pass[] = [
  nameNodesApart,
  moveWeightsToInitializers,
  toSinglePrecision,
  upgradeOpset,
  settleWeights,
  dequantize,
  spellOutWideIntegers,
  settleWeights,
  foldConstants,
  noteTrainingMode,
  nameLayersApart,
];

/**
 * Imports the graph of a model file: float32, operator set 18, not quantised, weights as initializers under their own
 * names (`weights-as-initializers.ts` says what counts as one), constants folded, dimensions known but for the batch.
 *
 * @param file Name of the file in errors.
 * @throws ShiboriError as `upgradeOpset` does.
 */
export function importGraph({ graph, opset }: Model, file: string): PassResult {
  const names = graph.outputs.map(({ name }) => name);
  return runPasses(graph, [...importPasses, (imported) => withOutputNames(imported, names)], { opset, file });
}

/** Restores the names of the outputs: a quantised weight that is one has become a float one of another name. */
function withOutputNames(graph: Graph, names: readonly string[]): PassResult {
  if (graph.outputs.every((output, i) => output.name === names[i])) return { graph, notes: [] };
  const { builder, mapValue } = startRewrite(graph);
  for (const [i, output] of graph.outputs.entries()) {
    const [value, outputName] = [mapValue(output), names[i]];
    builder.output(
      outputName === undefined || value.name === outputName
        ? value
        : builder.op('Identity', [value], {}, { outputName }),
    );
  }
  return { graph: builder.build(graph.name), notes: [] };
}

/** Notes that a graph normalises as in training. It changes nothing. */
function noteTrainingMode(graph: Graph): PassResult {
  const trained = graph.nodes.filter(usesBatchStatistics).length;
  if (trained === 0) return { graph, notes: [] };
  const nodesUse = trained === 1 ? '1 BatchNormalization node uses' : `${trained} BatchNormalization nodes use`;
  const text = `It is in training mode: ${nodesUse} the statistics of the batch, so that scores depend on the other images of a batch. Export the model in evaluation mode.`;
  return { graph, notes: [{ applied: false, text }] };
}
