/** What every compressed model of one original is made from: learnt when it is first asked for, and kept. */

import { analyseNetwork, type CompressToBudgetOptions } from '../compression/compress-to-budget.js';
import {
  type CompressibleLayer,
  findCompressibleLayers,
  type RefusedLayer,
} from '../compression/compressible-layers.js';
import type { AnalysedNetwork, DecompositionOptions } from '../compression/decompose-network.js';
import { describeRefusedLayers } from '../compression/refused-layers.js';
import { simplifyLosslessly } from '../compression/simplify-losslessly.js';
import { getEngine, type RunContext } from '../context/run-context.js';
import type { Engine } from '../engine/engine.js';
import { formatSuggestion, ShiboriError, UsageError } from '../errors.js';
import { measureModelSize } from '../evaluation/model-size.js';
import { computeOriginalMaps, type OriginalMaps } from '../evaluation/original-maps.js';
import { findSpatialLayers } from '../explain/layers.js';
import type { Graph } from '../graph/model.js';
import { matchesPattern } from '../graph/module-path.js';
import { checkLabels, type Dataset, requirePreprocess } from '../images/open-dataset.js';
import { computeCacheKey } from '../io/feature-cache.js';
import type { LoadedModel } from '../io/models/model-file.js';
import { noWorkCache, type WorkCache } from '../io/work-cache.js';
import { bindSymbolicBatch } from '../passes/free-batch.js';
import type { SizeFigures } from '../report/comparison.js';
import type { Tensor } from '../tensor/tensor.js';
import { computeWeightsDigest } from '../train/weights.js';
import { listFeatureKeyParts } from '../training-run/training-data-loader.js';
import { defined } from '../values.js';
import {
  createSensitivityCache,
  readOrComputeMaps,
  readOrComputePredictions,
  readOrMeasureLoss,
} from './compression-cache.js';
import { type CompressionDatasets, loadCalibrationImages } from './compression-images.js';
import type { CompressionPlan } from './compression-plan.js';
import { type FoldReport, toFoldReport } from './fold-report.js';
import {
  computePredictions,
  type MeasuredLoss,
  measureModelLoss,
  type ValidationPredictions,
} from './measured-loss.js';

/** What every candidate is made from. */
export interface CompressionSession {
  readonly engine: Engine;
  readonly original: LoadedModel;
  /** The original after lossless simplification, any batch. */
  readonly simplified: Graph;
  readonly folds: readonly FoldReport[];
  /** The layers that may be compressed, and those that no scheme takes. */
  readonly layers: readonly CompressibleLayer[];
  readonly refused: readonly RefusedLayer[];
  readonly sets: CompressionDatasets;
  readonly plan: CompressionPlan;
  readonly context: RunContext;
  readonly memory: WorkCache;
  /** Tells this analysis from others: model, images, plan. */
  readonly key: string;
  /** Images whose maps are compared; `undefined` for a model of which no layer has a map. */
  readonly mapImages: number | undefined;
  /** What the original says of the validation images. */
  getOriginalPredictions(): Promise<ValidationPredictions>;
  /** Reads or computes the original's maps, once for all candidates; `undefined` where no layer has a map. */
  readonly getOriginalMaps: (() => Promise<OriginalMaps>) | undefined;
  /**
   * What another model loses on them; kept by a key of what decides the model.
   *
   * @param make the model, which is not asked for where its loss is known.
   */
  measureLoss(key: string, make: () => Promise<LoadedModel>): Promise<MeasuredLoss>;
  /** What the original takes, as an ONNX file. */
  measureOriginalSize(): Promise<SizeFigures>;
  /** Loads the images that statistics are computed from. */
  loadCalibrationImages(): Promise<readonly Tensor[]>;
  /** Counts them. */
  countCalibrationImages(): Promise<number>;
  /** What each layer contributes. */
  getAnalysedNetwork(): Promise<AnalysedNetwork>;
}

/** Images whose maps are compared unless a plan states another number. */
export const DEFAULT_MAP_IMAGES = 64;

/** The layers that patterns choose. Throws a UsageError for a pattern that chooses none. */
export function chooseLayers(graph: Graph, patterns: readonly string[] | undefined) {
  const { layers, refused } = findCompressibleLayers(graph);
  const paths = layers.map(({ path }) => path);
  if (layers.length === 0) {
    const why = describeRefusedLayers(refused).join('; ');
    throw new ShiboriError(`The model has no layer that can be squeezed${why === '' ? '' : ` (${why})`}.`, {
      code: 'unsupported-model',
    });
  }
  for (const pattern of patterns ?? []) {
    if (paths.some((path) => matchesPattern(path, pattern))) continue;
    const no = refused.find(({ path }) => matchesPattern(path, pattern));
    throw new UsageError(
      no
        ? `\`layers: '${pattern}'\`: "${no.path}" cannot be squeezed: ${no.reason}.`
        : `\`layers: '${pattern}'\` fits no layer.${formatSuggestion(pattern, paths)} There are ${paths.join(', ')}.`,
      { option: 'layers' },
    );
  }
  const layersChosen = layers.filter(
    ({ path }) => !patterns || patterns.some((pattern) => matchesPattern(path, pattern)),
  );
  return { layers: layersChosen, refused };
}

/** Options of the core that a plan decides. */
export function buildCompressToBudgetOptions({
  plan,
  context,
}: Pick<CompressionSession, 'plan' | 'context'>): CompressToBudgetOptions {
  return {
    ...defined({ schemes: plan.schemes, seed: plan.seed, signal: context.signal }),
    onProgress: ({ phase, done, total, layer }) =>
      context.onProgress?.({ phase, done, total, ...(layer === undefined ? {} : { fields: { layer } }) }),
  };
}

/** How budgets are spent, as a plan decides. */
export function buildDecompositionOptions({
  plan: { rounds },
  context,
}: Pick<CompressionSession, 'plan' | 'context'>): DecompositionOptions {
  return {
    ...defined({ rounds, signal: context.signal }),
    onFit: (layer, done, total) => context.onProgress?.({ phase: 'refit', done, total, fields: { layer } }),
    onRound: (round, divergence, isBest) =>
      context.onNote?.(`round ${round}: mean KL ${divergence.toPrecision(3)} nats${isBest ? '' : ', not better'}`),
  };
}

/** Something that is made once. */
function memoize<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

/** What tells the images of a data set, as a model takes them, from others. */
async function computeImagesKey(model: LoadedModel, dataset: Dataset): Promise<string> {
  const preprocess = requirePreprocess(model.graph, model.info);
  return computeCacheKey(await listFeatureKeyParts(dataset, { preprocess, augmentation: undefined, seed: 0 }));
}

/**
 * Prepares compression a model: lossless simplification, and the layers to compress.
 *
 * @param memory where the work is kept. Default: nowhere.
 * @throws UsageError for patterns that fit no layer and labels that do not fit the model.
 */
export async function openCompressionSession(
  original: LoadedModel,
  sets: CompressionDatasets,
  plan: CompressionPlan,
  context: RunContext,
  memory: WorkCache = noWorkCache,
): Promise<CompressionSession> {
  const engine = getEngine(context);
  for (const { source } of [sets.train, sets.validation]) checkLabels(original, source);
  context.onProgress?.({ phase: 'fold', done: 0, total: 1 });
  const { graph: simplified, notes: simplifications } = await simplifyLosslessly(
    engine,
    bindSymbolicBatch(original.graph).graph,
  );
  context.onProgress?.({ phase: 'fold', done: 1, total: 1 });
  const { layers, refused } = chooseLayers(simplified, plan.layers);
  const { seed = 42, schemes, calibrationImages: wanted } = plan;
  const unit = plan.goal.kind === 'macs' ? 'multiplyAdds' : 'parameters';
  const parts = { goal: unit, seed, schemes, wanted, paths: layers.map(({ path }) => path) };
  const model = computeWeightsDigest(original.graph);
  const key = computeCacheKey([model, await computeImagesKey(original, sets.train), JSON.stringify(parts)]);
  const predictionsKey = computeCacheKey([model, await computeImagesKey(original, sets.validation)]);
  const calibration = memoize(() => loadCalibrationImages(original, sets.train, layers, wanted, seed, context));
  const before = memoize(() =>
    readOrComputePredictions(memory, `original-${predictionsKey}`, () =>
      computePredictions(original, sets.validation, true, context),
    ),
  );
  const hasMaps = findSpatialLayers(original.graph).some(({ isDefault }) => isDefault);
  const mapImages = hasMaps ? (plan.mapImages ?? DEFAULT_MAP_IMAGES) : undefined;
  const mapsKey = computeCacheKey([predictionsKey, `${mapImages}`]);
  const getMaps =
    mapImages === undefined
      ? undefined
      : memoize(() =>
          readOrComputeMaps(memory, `maps-${mapsKey}`, () =>
            computeOriginalMaps(original, sets.validation, mapImages, context),
          ),
        );
  return {
    engine,
    original,
    simplified,
    folds: simplifications.map(toFoldReport),
    layers,
    refused,
    sets,
    plan,
    context,
    memory,
    key,
    mapImages,
    getOriginalPredictions: before,
    getOriginalMaps: getMaps,
    measureLoss: (own, make) =>
      readOrMeasureLoss(memory, `loss-${computeCacheKey([own, predictionsKey, `${mapImages}`])}`, async () =>
        measureModelLoss(
          { model: original, predictions: await before(), getMaps },
          await make(),
          sets.validation,
          context,
        ),
      ),
    measureOriginalSize: memoize(() => measureModelSize(original)),
    loadCalibrationImages: calibration,
    countCalibrationImages: async () => (await calibration()).reduce((sum, { dims }) => sum + Number(dims[0]), 0),
    getAnalysedNetwork: memoize(async () => {
      const options = {
        ...buildCompressToBudgetOptions({ plan, context }),
        memory: createSensitivityCache(memory, key),
      };
      return analyseNetwork(engine, simplified, layers, await calibration(), unit, options);
    }),
  };
}
