import { basename, extname, join } from 'node:path';
import type { LayerOutcome } from '../compression/layer-outcome.js';
import { collectWarnings, getEngine, type RunContext, reportNotes } from '../context/run-context.js';
import { ShiboriError, UsageError } from '../errors.js';
import { buildDataOrigin, collectProvenance, listModelFiles } from '../evaluation/collect-provenance.js';
import { requireLabels } from '../images/open-dataset.js';
import {
  buildDefaultOutput,
  type LoadedModel,
  type OpenOptions,
  openModel,
  parseModelFormat,
} from '../io/models/model-file.js';
import { saveModel } from '../io/models/save-model.js';
import { refuseInputAsOutput } from '../io/output-file.js';
import { clearWorkCache, noWorkCache, openWorkCache, type WorkCache } from '../io/work-cache.js';
import { describeSpeed, formatMilliseconds, type SpeedFigures } from '../report/comparison.js';
import { defined } from '../values.js';
import { planCompression } from '../workflows/planned-phases.js';
import { measureTrainedControl } from './compression-candidate.js';
import { type CompressionDatasets, type CompressionSources, withCompressionDatasets } from './compression-images.js';
import type { CompressionPlan } from './compression-plan.js';
import type { CompressionReport } from './compression-report.js';
import { type CompressionSession, openCompressionSession } from './compression-session.js';
import { getMaxBytes } from './cost-limit.js';
import { describeCompressionPage, writeCompressionPage } from './describe-compression.js';
import { measureGivenRanksBaseline } from './given-ranks-baseline.js';
import { reachGoal } from './reach-goal.js';
import { type LayerFigures, measureLayerFigures, measureSizeChange } from './size-figures.js';
import { isSlower, measureSpeedChange, type PlacedLayer } from './speed-change.js';
import { getStorage } from './weight-storage.js';

/** Seconds that each batch size of the speed verdict is measured for. */
const SPEED_SECONDS = 1;

/** Throws when the model runs slower than it did, naming the layers that do. */
function refuseSlower(speed: readonly SpeedFigures[], layers: readonly LayerFigures[]): void {
  if (!speed.some(isSlower)) return;
  const figures = speed
    .map(
      (each) =>
        `batch ${each.batch}: ${formatMilliseconds(each.beforeMs)} → ${formatMilliseconds(each.afterMs)}, ${describeSpeed(each)}`,
    )
    .join('; ');
  const slower = layers.flatMap(({ path, speed: own }) => (own && isSlower(own) ? [{ path, ratio: own.ratio }] : []));
  const which = slower
    .sort((a, b) => b.ratio - a.ratio)
    .map(({ path, ratio }) => `${path} (${ratio.toFixed(2)} times)`)
    .join(', ');
  throw new ShiboriError(
    `The squeezed model runs slower than the original (${figures}). ${which === '' ? 'No layer alone does' : `Slower than they were: ${which}`}. Take it with \`allowSlower\`, choose others with \`layers\`, or limit \`macs\` instead. Nothing was written.`,
    { code: 'slower' },
  );
}

/** Where the squeezed layers lie. */
function listPlacedLayers(session: CompressionSession, layers: readonly LayerOutcome[]): PlacedLayer[] {
  const ends = new Map(session.layers.map(({ path, x, output }) => [path, { from: x.name, to: output.name }]));
  return layers.flatMap(({ path, scheme }) => {
    const at = ends.get(path);
    return scheme && at ? [{ path, ...at }] : [];
  });
}

/**
 * Squeezes a loaded model until it reaches a goal, measured on validation images. The model itself is not changed; the
 * same images, plan and seed give the same result.
 *
 * @param memory what was found before, and where to keep what is found now: the same call goes on where one was stopped.
 *   Default: nothing is kept.
 * @returns the model as it is to be written (weights in the plan's storage), and why it is as it is.
 * @throws UsageError for a pattern that fits no layer, ShiboriError when the goal cannot be met (says what can), or when
 *   the result runs slower than the original and the plan does not allow that.
 */
export async function compressModelToGoal(
  model: LoadedModel,
  sets: CompressionDatasets,
  plan: CompressionPlan,
  context: RunContext = {},
  memory: WorkCache = noWorkCache,
): Promise<{ readonly model: LoadedModel; readonly report: CompressionReport }> {
  const start = performance.now();
  if (plan.goal.kind === 'accuracyDrop') {
    requireLabels(
      sets.validation,
      '`maxAccuracyDrop` counts correct predictions. Give another goal (`parameters`, `size`, `macs`, `maxError`), or validation images with labels (`validationData`)',
    );
  }
  const session = await openCompressionSession(model, sets, plan, context, memory);
  const before = await session.getOriginalPredictions();
  const { candidate, trials } = await reachGoal(session);
  context.signal?.throwIfAborted();
  const { stored, loss } = candidate;
  context.onProgress?.({ phase: 'speed', done: 0, total: 1 });
  const speed = await measureSpeedChange(session.engine, model.graph, stored.graph, SPEED_SECONDS);
  const graphs = { folded: session.simplified, stored: stored.graph, float: candidate.model.graph };
  const layers = await measureLayerFigures(
    session.engine,
    model,
    graphs,
    candidate.layers,
    listPlacedLayers(session, candidate.layers),
  );
  context.onProgress?.({ phase: 'speed', done: 1, total: 1 });
  if (!plan.allowSlower) refuseSlower(speed, layers);
  const control = plan.control && plan.finetuneEpochs ? await measureTrainedControl(session) : undefined;
  const byHand =
    plan.baselinePlan === undefined ? undefined : await measureGivenRanksBaseline(session, plan.baselinePlan);
  const report: CompressionReport = {
    goal: plan.goal,
    data: {
      train: sets.train.source.name,
      trainPart: sets.train.source.part ?? null,
      validation: sets.validation.source.name,
      validationPart: sets.validation.source.part ?? null,
      validationImages: loss.images,
      heldOut: sets.isValidationSplitOff,
      calibrationImages: (await session.getCalibrationImages()).reduce((sum, { dims }) => sum + (dims[0] ?? 0), 0),
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
  return { model: stored, report };
}

/** Where a squeezed model goes. Throws a UsageError for a file that is no ONNX file, and for the model itself. */
export function resolveOutput(file: string, wanted: string | undefined): string {
  const output = wanted ?? buildDefaultOutput(file, 'compressed', '.onnx');
  refuseInputAsOutput(output, [file]);
  if (parseModelFormat(output) === 'onnx') return output;
  throw new UsageError(
    `-o ${output}: only an ONNX file holds layers that were taken apart; a state dict has no graph to say how its factors belong together. Give a name ending in .onnx.`,
  );
}

/** Where the work on a model file is kept: other goals and sweeps take up what they have in common. */
export function resolveWorkFolder(file: string, wanted: string | undefined): string {
  return wanted ?? join('shibori-out', 'compress', basename(file, extname(file)));
}

/** Options of a squeeze of files. */
export interface CompressFileOptions extends CompressionSources, OpenOptions {
  /** The file to write. Default: `MODEL-compressed.onnx` in the working folder. */
  readonly output?: string;
  /** Where the work is kept, to be gone on with. Default: `shibori-out/compress/MODEL`. */
  readonly work?: string;
  /** Begin anew, whatever is kept there. */
  readonly fresh?: boolean;
}

/** What a squeeze of files did: the model, and the page that shows it. */
export type CompressionFileReport = CompressionReport & {
  readonly output: string;
  readonly outputBytes: number;
  readonly page: string;
};

/**
 * Squeezes a model file to a goal and writes the result, an ONNX file.
 *
 * @throws as `squeezeModel`; nothing is written then.
 */
export async function compressToGoal(
  file: string,
  plan: CompressionPlan,
  options: CompressFileOptions,
  context: RunContext = {},
): Promise<CompressionFileReport> {
  const output = resolveOutput(file, options.output);
  const model = await openModel(file, options);
  reportNotes(model, context);
  const folder = resolveWorkFolder(file, options.work);
  if (options.fresh) await clearWorkCache(folder);
  return withCompressionDatasets(options, plan.seed ?? 42, context, async (sets) => {
    const counts = { train: sets.train.source.items.length, validation: sets.validation.source.items.length };
    context.onPhases?.(planCompression(plan, counts));
    const { warnings, context: listening } = collectWarnings(context);
    const { model: compressed, report } = await compressModelToGoal(
      model,
      sets,
      plan,
      listening,
      openWorkCache(folder),
    );
    context.signal?.throwIfAborted();
    const written = await saveModel(compressed, output, {
      engine: getEngine(context),
      ...getMaxBytes(model, plan.goal),
    });
    const result = { ...report, output: written.file, outputBytes: written.sizeBytes };
    const provenance = await collectProvenance(
      {
        models: [
          { name: 'original', model, files: listModelFiles(model) },
          { name: 'compressed', model: compressed, files: [written.file] },
        ],
        data: [
          buildDataOrigin('calibration', sets.train, report.data.calibrationImages),
          buildDataOrigin('measured', sets.validation, report.data.validationImages),
        ],
        seed: plan.seed ?? 42,
      },
      context,
    );
    const page = describeCompressionPage(report, basename(file), { warnings, provenance });
    return { ...result, page: await writeCompressionPage(folder, page, result) };
  });
}
