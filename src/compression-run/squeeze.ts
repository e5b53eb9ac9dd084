import { basename, extname, join } from 'node:path';
import type { SqueezedLayer } from '../compression/squeezed-layer.js';
import { engineOf, keepWarnings, tellNotes, type VerbContext } from '../context/context.js';
import { ShiboriError, UsageError } from '../errors.js';
import { collectProvenance, filesOf, findDataOrigin } from '../evaluation/provenance.js';
import { requireLabels } from '../images/dataset.js';
import { defaultOutput, formatOf, type LoadedModel, type OpenOptions, openModel } from '../io/models/model-file.js';
import { saveModel } from '../io/models/save-model.js';
import { refuseInputAsOutput } from '../io/output-file.js';
import { folderMemory, forget, noMemory, type WorkMemory } from '../io/work-memory.js';
import { describeSpeed, milliseconds, type SpeedFigures } from '../report/comparison.js';
import { planCompression } from '../workflows/phases.js';
import { byHandOf } from './by-hand.js';
import { trainedControl } from './candidate.js';
import { bytesAllowed } from './cost.js';
import { type LayerFigures, layerFigures, sizeChange } from './figures.js';
import type { SqueezePlan } from './goal.js';
import { reachGoal } from './goals.js';
import { type SqueezeSets, type SqueezeSources, withSqueezeSets } from './images.js';
import { describePage, writePage } from './report.js';
import { isSlower, type Placed, speedOf } from './speed.js';
import type { Squeezing } from './squeezing.js';
import { storageOf } from './stored.js';
import { openWorkshop, type Workshop } from './workshop.js';

/** Seconds that each batch size of the speed verdict is measured for. */
const SPEED_SECONDS = 1;

/** Throws when the model runs slower than it did, naming the layers that do. */
function refuseSlower(speed: readonly SpeedFigures[], layers: readonly LayerFigures[]): void {
  if (!speed.some(isSlower)) return;
  const figures = speed
    .map(
      (each) =>
        `batch ${each.batch}: ${milliseconds(each.beforeMs)} → ${milliseconds(each.afterMs)}, ${describeSpeed(each)}`,
    )
    .join('; ');
  const slower = layers.flatMap(({ path, speed: own }) => (own && isSlower(own) ? [{ path, ratio: own.ratio }] : []));
  const which = slower
    .sort((a, b) => b.ratio - a.ratio)
    .map(({ path, ratio }) => `${path} (${ratio.toFixed(2)} times)`)
    .join(', ');
  throw new ShiboriError(
    `The squeezed model runs slower than the original (${figures}). ${which === '' ? 'No layer alone does' : `Slower than they were: ${which}`}. Take it with --allow-slower, choose others with --layers, or limit --macs instead. Nothing was written.`,
    { code: 'unsupported-model' },
  );
}

/** Where the squeezed layers lie. */
function placedLayers(shop: Workshop, layers: readonly SqueezedLayer[]): Placed[] {
  const ends = new Map(shop.layers.map(({ path, x, output }) => [path, { from: x.name, to: output.name }]));
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
export async function squeezeModel(
  model: LoadedModel,
  sets: SqueezeSets,
  plan: SqueezePlan,
  context: VerbContext = {},
  memory: WorkMemory = noMemory,
): Promise<{ readonly model: LoadedModel; readonly report: Squeezing }> {
  const start = performance.now();
  if (plan.goal.kind === 'accuracyDrop') {
    requireLabels(
      sets.validation,
      '--max-accuracy-drop counts correct predictions. Give another goal (--params, --size, --macs, --max-error), or validation images with labels (--val-data)',
    );
  }
  const shop = await openWorkshop(model, sets, plan, context, memory);
  const before = await shop.before();
  const { candidate, trials } = await reachGoal(shop);
  context.signal?.throwIfAborted();
  const { stored, loss } = candidate;
  context.onProgress?.({ stage: 'speed', done: 0, total: 1 });
  const speed = await speedOf(shop.engine, model.graph, stored.graph, SPEED_SECONDS);
  const graphs = { folded: shop.folded, stored: stored.graph, float: candidate.model.graph };
  const layers = await layerFigures(shop.engine, model, graphs, candidate.layers, placedLayers(shop, candidate.layers));
  context.onProgress?.({ stage: 'speed', done: 1, total: 1 });
  if (!plan.allowSlower) refuseSlower(speed, layers);
  const control = plan.control && plan.finetune ? await trainedControl(shop) : undefined;
  const byHand = plan.beside === undefined ? undefined : await byHandOf(shop, plan.beside);
  const report: Squeezing = {
    goal: plan.goal,
    data: {
      train: sets.train.source.name,
      trainPart: sets.train.source.part ?? null,
      validation: sets.validation.source.name,
      validationPart: sets.validation.source.part ?? null,
      validationImages: loss.images,
      heldOut: sets.heldOut,
      calibrationImages: (await shop.calibration()).reduce((sum, { dims }) => sum + (dims[0] ?? 0), 0),
    },
    store: storageOf(plan, model),
    size: await sizeChange(await shop.size(), stored, candidate.model),
    layers,
    refused: shop.refused,
    folds: shop.folds,
    ...(before.accuracy && loss.accuracy && loss.top1Drop !== undefined
      ? { accuracy: { before: before.accuracy, after: loss.accuracy, top1Drop: loss.top1Drop } }
      : {}),
    agreement: loss.agreement,
    error: loss.error,
    divergence: loss.divergence,
    ...(loss.maps ? { maps: loss.maps } : {}),
    ...(control ? { control } : {}),
    ...(byHand ? { byHand } : {}),
    trainTop1: candidate.trainTop1,
    ...(candidate.finetuning ? { finetuning: candidate.finetuning } : {}),
    trials,
    speed,
    seconds: (performance.now() - start) / 1000,
  };
  return { model: stored, report };
}

/** Where a squeezed model goes. Throws a UsageError for a file that is no ONNX file, and for the model itself. */
export function outputOf(file: string, wanted: string | undefined): string {
  const output = wanted ?? defaultOutput(file, 'compressed', '.onnx');
  refuseInputAsOutput(output, [file]);
  if (formatOf(output) === 'onnx') return output;
  throw new UsageError(
    `-o ${output}: only an ONNX file holds layers that were taken apart; a state dict has no graph to say how its factors belong together. Give a name ending in .onnx.`,
  );
}

/** Where the work on a model file is kept: other goals and sweeps take up what they have in common. */
export function workFolder(file: string, wanted: string | undefined): string {
  return wanted ?? join('shibori-out', 'compress', basename(file, extname(file)));
}

/** Options of a squeeze of files. */
export interface SqueezeFileOptions extends SqueezeSources, OpenOptions {
  /** The file to write. Default: `MODEL-compressed.onnx` in the working folder. */
  readonly output?: string;
  /** Where the work is kept, to be gone on with. Default: `shibori-out/compress/MODEL`. */
  readonly work?: string;
  /** Begin anew, whatever is kept there. */
  readonly fresh?: boolean;
}

/** What a squeeze of files did: the model, and the page that shows it. */
export type SqueezedFile = Squeezing & { readonly output: string; readonly outputBytes: number; readonly page: string };

/**
 * Squeezes a model file to a goal and writes the result, an ONNX file.
 *
 * @throws as `squeezeModel`; nothing is written then.
 */
export async function squeeze(
  file: string,
  plan: SqueezePlan,
  options: SqueezeFileOptions,
  context: VerbContext = {},
): Promise<SqueezedFile> {
  const output = outputOf(file, options.output);
  const model = await openModel(file, options);
  tellNotes(model, context);
  const folder = workFolder(file, options.work);
  if (options.fresh) await forget(folder);
  return withSqueezeSets(options, plan.seed ?? 42, context, async (sets) => {
    const counts = { train: sets.train.source.items.length, validation: sets.validation.source.items.length };
    context.onPhases?.(planCompression(plan, counts));
    const { warnings, context: listening } = keepWarnings(context);
    const { model: squeezed, report } = await squeezeModel(model, sets, plan, listening, folderMemory(folder));
    context.signal?.throwIfAborted();
    const written = await saveModel(squeezed, output, { engine: engineOf(context), ...bytesAllowed(model, plan.goal) });
    const result = { ...report, output: written.file, outputBytes: written.sizeBytes };
    const provenance = await collectProvenance(
      {
        models: [
          { name: 'original', model, files: filesOf(model) },
          { name: 'compressed', model: squeezed, files: [written.file] },
        ],
        data: [
          findDataOrigin('calibration', sets.train, report.data.calibrationImages),
          findDataOrigin('measured', sets.validation, report.data.validationImages),
        ],
        seed: plan.seed ?? 42,
      },
      context,
    );
    const page = describePage(report, basename(file), { warnings, provenance });
    return { ...result, page: await writePage(folder, page, result) };
  });
}
