import { simplifyLosslessly } from '../compression/simplify-losslessly.js';
import {
  analyseWeights,
  decomposeByWeights,
  findOptionsWithinError,
} from '../compression/weight-only-decomposition.js';
import { getEngine, type RunContext } from '../context/run-context.js';
import { UsageError } from '../errors.js';
import { measureModelSize } from '../evaluation/model-size.js';
import type { LoadedModel } from '../io/models/model-file.js';
import { bindSymbolicBatch } from '../passes/free-batch.js';
import { defined } from '../values.js';
import { type CompressedModel, saveCompressed } from './compressed-file.js';
import { type CompressByWeightsOptions, pickSettings } from './compression-options.js';
import { type CompressionPlan, resolveGoal } from './compression-plan.js';
import type { CompressionShape } from './compression-report.js';
import { chooseLayers } from './compression-session.js';
import {
  compressWithinLimit,
  computeLimit,
  createLimitError,
  getMaxBytes,
  LimitUnreachable,
  measureCost,
} from './cost-limit.js';
import { toFoldReport } from './fold-report.js';
import { measureLayerFigures, measureSizeChange } from './size-figures.js';
import { getStorage, storeAndImport } from './weight-storage.js';

/** Holds a model that was compressed by its weights alone, with its sizes. */
export type WeightCompression = CompressionShape & CompressedModel;

/** Refuses what is measured on images where there are none. */
const createNeedsImagesError = (option: string) =>
  new UsageError(`\`${option}\` is measured on images: give \`data\`.`, { option });

/** Compresses a model by its weights alone. A goal of error limits the relative error of each weight. */
async function decomposeToGoal(
  original: LoadedModel,
  plan: CompressionPlan,
  context: RunContext,
): Promise<{ readonly model: LoadedModel; readonly figures: CompressionShape }> {
  const start = performance.now();
  const { goal } = plan;
  const store = getStorage(plan, original);
  if (goal.kind === 'accuracyDrop') throw createNeedsImagesError('accuracyDrop');
  if (plan.minMapSimilarity !== undefined) throw createNeedsImagesError('minMapSimilarity');
  if (plan.finetuneEpochs) throw createNeedsImagesError('finetuneEpochs');
  if (plan.rounds !== undefined && plan.rounds > 1) throw createNeedsImagesError('rounds');
  const engine = getEngine(context);
  const { graph: simplified, notes: simplifications } = await simplifyLosslessly(
    engine,
    bindSymbolicBatch(original.graph).graph,
  );
  const { layers: chosen, refused } = chooseLayers(simplified, plan.layers);
  const options = {
    ...defined({ schemes: plan.schemes, signal: context.signal }),
    onLayer: (layer: string, done: number, total: number) =>
      context.onProgress?.({ phase: 'curves', done, total, fields: { layer } }),
  };
  const counted = goal.kind === 'macs' ? 'multiplyAdds' : 'parameters';
  const analysed = await analyseWeights(engine, simplified, chosen, counted, options);
  const costed = { original, simplified, layers: chosen, store };
  const decompose = async () => {
    if (goal.kind === 'error')
      return decomposeByWeights(engine, analysed, findOptionsWithinError(analysed, goal.most), options);
    const { limit, whole } = await computeLimit(costed, goal);
    const decomposeTo = (most: number) => decomposeByWeights(engine, analysed, most, options);
    if ((await measureCost(simplified, goal.kind, costed)) <= limit) return decomposeTo(Number.POSITIVE_INFINITY);
    return compressWithinLimit(costed, goal.kind, limit, decomposeTo).catch((error: unknown) => {
      throw error instanceof LimitUnreachable ? createLimitError(goal.kind, { limit, whole }, refused, error) : error;
    });
  };
  const { graph, layers } = await decompose();
  const { stored, model } = storeAndImport({ ...original, graph }, store);
  const graphs = { folded: simplified, stored: stored.graph, float: model.graph };
  const figures: CompressionShape = {
    goal,
    store,
    size: await measureSizeChange(await measureModelSize(original), stored, model),
    layers: await measureLayerFigures(engine, original, graphs, layers, []),
    refused,
    folds: simplifications.map(toFoldReport),
    seconds: (performance.now() - start) / 1000,
  };
  return { model: stored, figures };
}

/**
 * Compresses an opened model by its weights alone, and writes its file where one is asked for.
 *
 * @throws UsageError for goals that need images, ShiboriError when the goal cannot be met (says what can).
 */
export async function compressByWeights(
  model: LoadedModel,
  options: CompressByWeightsOptions,
): Promise<WeightCompression> {
  const plan: CompressionPlan = { ...pickSettings(options), goal: resolveGoal(options.goal) };
  options.onWarning?.(
    'without images (`data`) every direction of a weight counts alike: what this costs the predictions is unknown',
  );
  const { model: compressed, figures } = await decomposeToGoal(model, plan, options);
  const written = await saveCompressed(compressed, options.output, getMaxBytes(model, plan.goal), options);
  return { model: compressed, ...figures, ...written };
}
