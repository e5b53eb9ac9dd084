import type { LayerOutcome } from '../compression/layer-outcome.js';
import { collectWarnings, type RunContext } from '../context/run-context.js';
import { buildDataOrigin, collectProvenance } from '../evaluation/collect-provenance.js';
import { requireLabels, resolveValidation } from '../images/open-dataset.js';
import type { LoadedModel } from '../io/models/model-file.js';
import { clearWorkCache, noWorkCache, openWorkCache, type WorkCache } from '../io/work-cache.js';
import { defined } from '../values.js';
import { type CompressedModel, getModelTitle, listSourceFiles, saveCompressed } from './compressed-file.js';
import { measureTrainedControl } from './compression-candidate.js';
import { type CompressionDatasets, withCompressionDatasets } from './compression-images.js';
import { type CompressToGoalOptions, pickSettings } from './compression-options.js';
import { planCompression } from './compression-phases.js';
import { type CompressionPlan, resolveGoal } from './compression-plan.js';
import type { CompressionReport } from './compression-report.js';
import { type CompressionSession, openCompressionSession } from './compression-session.js';
import { getMaxBytes } from './cost-limit.js';
import { describeCompressionPage, writeCompressionPage } from './describe-compression.js';
import { measureGivenRanksBaseline } from './given-ranks-baseline.js';
import { reachGoal } from './reach-goal.js';
import { measureLayerFigures, measureSizeChange } from './size-figures.js';
import { measureSpeedChange, type PlacedLayer, refuseSlower } from './speed-change.js';
import { getStorage } from './weight-storage.js';

/** Holds a model that was compressed to a goal, with what was measured, and the report where one was asked for. */
export type GoalCompression = CompressionReport &
  CompressedModel & {
    /** The page of the report. */
    readonly page?: string;
  };

/** Seconds that each batch size of the speed verdict is measured for. */
const SPEED_SECONDS = 1;

/** Lists the compressed layers with the names of the values that they lie between. */
function listPlacedLayers(session: CompressionSession, layers: readonly LayerOutcome[]): PlacedLayer[] {
  const ends = new Map(session.layers.map(({ path, x, output }) => [path, { from: x.name, to: output.name }]));
  return layers.flatMap(({ path, scheme }) => {
    const at = ends.get(path);
    return scheme && at ? [{ path, ...at }] : [];
  });
}

/**
 * Compresses a model until it reaches a goal, measured on validation images. The model itself is not changed; the same
 * images, plan and seed give the same result.
 *
 * @param work what was found before, and where to keep what is found now: the same call resumes where one was stopped.
 * @returns the model as it is to be written (weights in the plan's storage), and why it is as it is.
 */
async function reachMeasuredGoal(
  model: LoadedModel,
  {
    sets,
    plan,
    work,
  }: { readonly sets: CompressionDatasets; readonly plan: CompressionPlan; readonly work: WorkCache },
  context: RunContext,
): Promise<{ readonly model: LoadedModel; readonly figures: CompressionReport }> {
  const start = performance.now();
  if (plan.goal.kind === 'accuracyDrop') {
    requireLabels(
      sets.validation,
      '`accuracyDrop` counts correct predictions. Give another goal (`parameters`, `size`, `macs`, `error`), or validation images with labels (`validationData`)',
    );
  }
  const session = await openCompressionSession(model, sets, plan, context, work);
  const before = await session.getOriginalPredictions();
  const { candidate, trials } = await reachGoal(session);
  context.signal?.throwIfAborted();
  const { stored, loss } = candidate;
  context.onProgress?.({ phase: 'speed', done: 0, total: 1 });
  const speed = await measureSpeedChange(session.engine, model.graph, stored.graph, SPEED_SECONDS);
  const graphs = { folded: session.simplified, stored: stored.graph, float: candidate.model.graph };
  const placed = listPlacedLayers(session, candidate.layers);
  const layers = await measureLayerFigures(session.engine, model, graphs, candidate.layers, placed);
  context.onProgress?.({ phase: 'speed', done: 1, total: 1 });
  if (!plan.allowSlower) refuseSlower(speed, layers);
  const control = plan.control && plan.finetuneEpochs ? await measureTrainedControl(session) : undefined;
  const { baselinePlan } = plan;
  const byHand = baselinePlan === undefined ? undefined : await measureGivenRanksBaseline(session, baselinePlan);
  const figures: CompressionReport = {
    goal: plan.goal,
    data: {
      train: sets.train.source.name,
      trainPart: sets.train.source.part ?? null,
      validation: sets.validation.source.name,
      validationPart: sets.validation.source.part ?? null,
      validationImages: loss.images,
      heldOut: sets.isValidationSplitOff,
      calibrationImages: await session.countCalibrationImages(),
    },
    store: getStorage(plan, model),
    size: await measureSizeChange(await session.measureOriginalSize(), stored, candidate.model),
    layers,
    refused: session.refused,
    folds: session.folds,
    ...(before.accuracy && loss.accuracy && loss.top1Drop !== undefined
      ? { accuracy: { before: before.accuracy, after: loss.accuracy, top1Drop: loss.top1Drop } }
      : {}),
    agreement: loss.agreement,
    error: loss.error,
    divergence: loss.divergence,
    ...defined({ maps: loss.maps, control, byHand }),
    trainTop1: candidate.trainTop1,
    ...defined({ finetuning: candidate.finetuning }),
    trials,
    speed,
    seconds: (performance.now() - start) / 1000,
  };
  return { model: stored, figures };
}

/**
 * Compresses an opened model to a goal, and writes its file and report where they are asked for.
 *
 * @throws UsageError for a pattern that fits no layer, ShiboriError when the goal cannot be met (says what can), or when
 *   the result runs slower than the original and `allowSlower` is not set. Nothing is written then.
 */
export async function compressToGoal(model: LoadedModel, options: CompressToGoalOptions): Promise<GoalCompression> {
  const { output, report, work, seed = 42 } = options;
  const plan: CompressionPlan = { ...pickSettings(options), goal: resolveGoal(options.goal) };
  if (options.fresh && work !== undefined) await clearWorkCache(work);
  return withCompressionDatasets(options, resolveValidation(options), seed, options, async (sets) => {
    const counts = { train: sets.train.source.items.length, validation: sets.validation.source.items.length };
    options.onPhases?.(planCompression(plan, counts));
    const { warnings, context } = collectWarnings(options);
    const cache = work === undefined ? noWorkCache : openWorkCache(work);
    const { model: compressed, figures } = await reachMeasuredGoal(model, { sets, plan, work: cache }, context);
    const limit = getMaxBytes(model, plan.goal);
    const written = await saveCompressed(compressed, output, limit, options);
    const result = { ...figures, ...written };
    if (report === undefined) return { model: compressed, ...result };
    const { calibrationImages, validationImages } = figures.data;
    const provenance = await collectProvenance(
      {
        models: [
          { name: 'original', model, files: listSourceFiles(model) },
          { name: 'compressed', model: compressed, files: written.output === undefined ? [] : [written.output] },
        ],
        data: [
          buildDataOrigin('calibration', sets.train, calibrationImages),
          buildDataOrigin('measured', sets.validation, validationImages),
        ],
        seed,
      },
      options,
    );
    const page = describeCompressionPage(figures, getModelTitle(model), { warnings, provenance });
    return { model: compressed, ...result, page: await writeCompressionPage(report, page, result) };
  });
}
