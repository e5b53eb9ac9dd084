import { rm } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { ShiboriError, UsageError } from '../../errors.js';
import type { Accuracy } from '../../metrics/accuracy.js';
import {
  defaultOutput,
  formatOf,
  type LoadedModel,
  type OpenOptions,
  openModel,
  saveModel,
} from '../../node/model-file.js';
import { folderMemory, noMemory, type WorkMemory } from '../../node/work-memory.js';
import type { FoldNote } from '../../passes/fold.js';
import type { StorageType } from '../../passes/store-weights.js';
import type { MapFigures, SpeedFigures } from '../../report/comparison.js';
import type { SqueezedLayer } from '../../squeeze/squeeze.js';
import type { Refusal } from '../../squeeze/squeeze-layer.js';
import { tellNotes, type VerbContext } from '../context.js';
import { type DataOptions, openDataset } from '../dataset.js';
import { type LayerFigures, layerFigures, type SizeChange, sizeChange } from './figures.js';
import type { SqueezeGoal, SqueezePlan } from './goal.js';
import { reachGoal, type SqueezeTrial } from './goals.js';
import { type SqueezeSets, squeezeSets } from './images.js';
import { isSlower, type Placed, speedOf } from './speed.js';
import { openWorkshop, type Workshop } from './workshop.js';

/** What `compress` did to reach a goal. */
export interface Squeezing {
  readonly goal: SqueezeGoal;
  readonly data: {
    readonly train: string;
    readonly validation: string;
    readonly heldOut: boolean;
    readonly calibrationImages: number;
  };
  readonly store: StorageType;
  /** As ONNX files; `before` in float32. */
  readonly size: SizeChange;
  readonly layers: readonly LayerFigures[];
  /** Layers that no scheme takes, and why. */
  readonly refused: readonly Refusal[];
  readonly folds: readonly FoldNote[];
  /** On the validation images. */
  readonly accuracy: { readonly before: Accuracy; readonly after: Accuracy; readonly top1Drop: number };
  /** Relative error of the outputs and mean KL in nats, on the validation images. */
  readonly error: number;
  readonly divergence: number;
  readonly maps?: MapFigures;
  /** Top-1 on the training images in each epoch. */
  readonly trainTop1: readonly number[];
  /** Sizes that were tried, in order. */
  readonly trials: readonly SqueezeTrial[];
  readonly speed: readonly SpeedFigures[];
  readonly seconds: number;
}

/** Seconds that each batch size of the speed verdict is measured for. */
const SPEED_SECONDS = 1;

/** Throws when the model runs slower than it did, naming the layers that do. */
function refuseSlower(speed: readonly SpeedFigures[], layers: readonly LayerFigures[]): void {
  if (!speed.some(isSlower)) return;
  const figures = speed
    .map(({ batch, beforeMs, afterMs }) => `batch ${batch}: ${beforeMs.toFixed(2)} → ${afterMs.toFixed(2)} ms`)
    .join(', ');
  const slower = layers.flatMap(({ path, speed: own }) => (own && isSlower(own) ? [{ path, ratio: own.ratio }] : []));
  const which = slower
    .sort((a, b) => b.ratio - a.ratio)
    .map(({ path, ratio }) => `${path} (${ratio.toFixed(2)} times)`)
    .join(', ');
  throw new ShiboriError(
    `The squeezed model runs slower than the original (${figures}). ${which === '' ? 'No layer alone does' : `Slower than they were: ${which}`}. Take it with --allow-slower, choose others with --layers, or limit --macs instead. Nothing was written.`,
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
  const shop = await openWorkshop(model, sets, plan, context, memory);
  const before = await shop.before();
  const { candidate, trials } = await reachGoal(shop);
  context.signal?.throwIfAborted();
  const { stored, loss } = candidate;
  context.onProgress?.({ stage: 'speed', done: 0, total: 1 });
  const speed = await speedOf(shop.engine, model.graph, stored.graph, SPEED_SECONDS);
  const graphs = { original: model.graph, folded: shop.folded, stored: stored.graph, float: candidate.model.graph };
  const layers = await layerFigures(shop.engine, graphs, candidate.layers, placedLayers(shop, candidate.layers));
  context.onProgress?.({ stage: 'speed', done: 1, total: 1 });
  if (!plan.allowSlower) refuseSlower(speed, layers);
  const report: Squeezing = {
    goal: plan.goal,
    data: {
      train: sets.train.source.name,
      validation: sets.validation.source.name,
      heldOut: sets.heldOut,
      calibrationImages: (await shop.calibration()).reduce((sum, { dims }) => sum + (dims[0] ?? 0), 0),
    },
    store: plan.store ?? 'float32',
    size: await sizeChange(model, stored, candidate.model),
    layers,
    refused: shop.refused,
    folds: shop.folds,
    accuracy: { before: before.accuracy, after: loss.accuracy, top1Drop: loss.top1Drop },
    error: loss.error,
    divergence: loss.divergence,
    ...(loss.maps ? { maps: loss.maps } : {}),
    trainTop1: candidate.trainTop1,
    trials,
    speed,
    seconds: (performance.now() - start) / 1000,
  };
  return { model: stored, report };
}

/** Where a squeezed model goes. Throws a UsageError for a file that is no ONNX file. */
export function outputOf(file: string, wanted: string | undefined): string {
  const output = wanted ?? defaultOutput(file, 'compressed', '.onnx');
  if (formatOf(output) === 'onnx') return output;
  throw new UsageError(
    `-o ${output}: only an ONNX file holds layers that were taken apart; a state dict has no graph to say how its factors belong together. Give a name ending in .onnx.`,
  );
}

/** Options of a squeeze of files. */
export interface SqueezeFileOptions extends DataOptions, OpenOptions {
  /** Images that measure. Default: a seeded tenth of the others is held out. */
  readonly validation?: DataOptions;
  /** The file to write. Default: `MODEL-compressed.onnx` in the working folder. */
  readonly output?: string;
  /** Where the work is kept, to be gone on with. Default: `shibori-out/compress/MODEL`. */
  readonly work?: string;
  /** Begin anew, whatever is kept there. */
  readonly fresh?: boolean;
}

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
): Promise<Squeezing & { readonly output: string; readonly outputBytes: number }> {
  const output = outputOf(file, options.output);
  const model = await openModel(file, options);
  tellNotes(model, context);
  const train = await openDataset(options, 'train');
  const opened = [train];
  try {
    const validation = options.validation && (await openDataset(options.validation));
    if (validation) opened.push(validation);
    const sets = squeezeSets(train, validation, plan.seed ?? 42);
    const folder = options.work ?? join('shibori-out', 'compress', basename(file, extname(file)));
    if (options.fresh) await rm(folder, { recursive: true, force: true });
    const { model: squeezed, report } = await squeezeModel(model, sets, plan, context, folderMemory(folder));
    context.signal?.throwIfAborted();
    const written = await saveModel(squeezed, output);
    return { ...report, output: written.file, outputBytes: written.sizeBytes };
  } finally {
    for (const { source } of opened) await source.close?.();
  }
}
