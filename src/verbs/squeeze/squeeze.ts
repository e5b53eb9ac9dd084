import { ShiboriError, suggestion, UsageError } from '../../errors.js';
import type { Graph } from '../../graph/model.js';
import { fitsPattern } from '../../graph/module-path.js';
import type { Accuracy } from '../../metrics/accuracy.js';
import {
  defaultOutput,
  formatOf,
  type LoadedModel,
  type OpenOptions,
  openModel,
  saveModel,
} from '../../node/model-file.js';
import type { FoldNote } from '../../passes/fold.js';
import { ofAnyBatch } from '../../passes/rewrite.js';
import type { StorageType } from '../../passes/store-weights.js';
import type { MapFigures, SizeFigures, SpeedFigures } from '../../report/comparison.js';
import { foldExact } from '../../squeeze/fold-exact.js';
import type { SqueezedLayer } from '../../squeeze/squeeze.js';
import { type Refusal, type SqueezeLayer, squeezeLayers } from '../../squeeze/squeeze-layer.js';
import { sizeOfModel } from '../compare.js';
import { engineOf, tellNotes, type VerbContext } from '../context.js';
import { checkLabels, type DataOptions, openDataset } from '../dataset.js';
import { openWorkshop, type Workshop } from './candidate.js';
import type { SqueezeGoal, SqueezePlan } from './goal.js';
import { reachGoal, type SqueezeTrial } from './goals.js';
import { calibrationImages, type SqueezeSets, squeezeSets } from './images.js';
import { predictionsOf } from './measure.js';
import { isSlower, slowerLayers, speedOf } from './speed.js';

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
  readonly size: {
    readonly before: SizeFigures;
    readonly after: SizeFigures;
    /** After over before. */
    readonly ratio: SizeFigures;
  };
  readonly layers: readonly SqueezedLayer[];
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

function ratioOf(before: SizeFigures, after: SizeFigures): SizeFigures {
  return {
    parameters: after.parameters / before.parameters,
    onnxBytes: after.onnxBytes / before.onnxBytes,
    gzipBytes: after.gzipBytes / before.gzipBytes,
    multAdds: after.multAdds / before.multAdds,
  };
}

/** The layers that patterns choose. Throws a UsageError for a pattern that chooses none. */
function chosenLayers(graph: Graph, patterns: readonly string[] | undefined) {
  const { layers, refused } = squeezeLayers(graph);
  const paths = layers.map(({ path }) => path);
  if (layers.length === 0) {
    const why = refused.map(({ path, reason }) => `${path}: ${reason}`).join('; ');
    throw new ShiboriError(`The model has no layer that can be squeezed${why === '' ? '' : ` (${why})`}.`);
  }
  for (const pattern of patterns ?? []) {
    if (paths.some((path) => fitsPattern(path, pattern))) continue;
    const no = refused.find(({ path }) => fitsPattern(path, pattern));
    throw new UsageError(
      no
        ? `--layers ${pattern}: "${no.path}" cannot be squeezed: ${no.reason}.`
        : `--layers ${pattern} fits no layer.${suggestion(pattern, paths)} There are ${paths.join(', ')}.`,
    );
  }
  const chosen = layers.filter(({ path }) => !patterns || patterns.some((pattern) => fitsPattern(path, pattern)));
  return { chosen, refused };
}

async function checkSpeed(shop: Workshop, after: Graph, layers: readonly SqueezedLayer[]): Promise<SpeedFigures[]> {
  const { engine, original, folded, plan, context } = shop;
  context.onProgress?.({ stage: 'speed', done: 0, total: 1 });
  const speed = await speedOf(engine, original.graph, after, SPEED_SECONDS);
  context.onProgress?.({ stage: 'speed', done: 1, total: 1 });
  if (plan.allowSlower || !isSlower(speed)) return speed;
  const ends = new Map(shop.layers.map(({ path, x, output }) => [path, { from: x.name, to: output.name }]));
  const placed = layers.flatMap((layer) => {
    const at = ends.get(layer.path);
    return at ? [{ ...layer, ...at }] : [];
  });
  const slower = await slowerLayers(engine, folded, after, placed);
  const figures = speed
    .map(({ batch, beforeMs, afterMs }) => `batch ${batch}: ${beforeMs.toFixed(2)} → ${afterMs.toFixed(2)} ms`)
    .join(', ');
  const which = slower.map(({ path, ratio }) => `${path} (${ratio.toFixed(2)} times)`).join(', ');
  throw new ShiboriError(
    `The squeezed model runs slower than the original (${figures}). ${which === '' ? 'No layer alone does' : `Slower than they were: ${which}`}. Take it with --allow-slower, choose others with --layers, or limit --macs instead. Nothing was written.`,
  );
}

/**
 * Squeezes a loaded model until it reaches a goal, measured on validation images. The model itself is not changed; the
 * same images, plan and seed give the same result.
 *
 * @returns the model as it is to be written (weights in the plan's storage), and why it is as it is.
 * @throws UsageError for a pattern that fits no layer, ShiboriError when the goal cannot be met (says what can), or when
 *   the result runs slower than the original and the plan does not allow that.
 */
export async function squeezeModel(
  model: LoadedModel,
  sets: SqueezeSets,
  plan: SqueezePlan,
  context: VerbContext = {},
): Promise<{ readonly model: LoadedModel; readonly report: Squeezing }> {
  const start = performance.now();
  const engine = engineOf(context);
  for (const { source } of [sets.train, sets.validation]) checkLabels(model.graph, source);
  context.onProgress?.({ stage: 'fold', done: 0, total: 1 });
  const { graph: folded, notes } = await foldExact(engine, ofAnyBatch(model.graph));
  const { chosen, refused } = chosenLayers(folded, plan.layers);
  const before = await predictionsOf(model, sets.validation, true, context);
  const calibration = await calibrationImages(model, sets.train, plan.calibration, plan.seed ?? 42, context);
  const layers: readonly SqueezeLayer[] = chosen;
  const shop = openWorkshop({ engine, original: model, folded, layers, sets, before, plan, context }, calibration);
  const { candidate, trials } = await reachGoal(shop);
  context.signal?.throwIfAborted();
  const { stored, loss } = candidate;
  const speed = await checkSpeed(shop, stored.graph, candidate.layers);
  const size = { before: await sizeOfModel(model), after: await sizeOfModel(stored) };
  // What was quantised is still a parameter.
  const { parameters } = await sizeOfModel(candidate.model);
  const after = { ...size.after, parameters };
  const report: Squeezing = {
    goal: plan.goal,
    data: {
      train: sets.train.source.name,
      validation: sets.validation.source.name,
      heldOut: sets.heldOut,
      calibrationImages: calibration.reduce((sum, { dims }) => sum + (dims[0] ?? 0), 0),
    },
    store: plan.store ?? 'float32',
    size: { before: size.before, after, ratio: ratioOf(size.before, after) },
    layers: candidate.layers,
    refused,
    folds: notes,
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

/** Options of a squeeze of files. */
export interface SqueezeFileOptions extends DataOptions, OpenOptions {
  /** Images that measure. Default: a seeded tenth of the others is held out. */
  readonly validation?: DataOptions;
  /** The file to write. Default: `MODEL-compressed.onnx` in the working folder. */
  readonly output?: string;
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
  const output = options.output ?? defaultOutput(file, 'compressed', '.onnx');
  if (formatOf(output) !== 'onnx') {
    throw new UsageError(
      `-o ${output}: only an ONNX file holds layers that were taken apart; a state dict has no graph to say how its factors belong together. Give a name ending in .onnx.`,
    );
  }
  const model = await openModel(file, options);
  tellNotes(model, context);
  const train = await openDataset(options, 'train');
  const opened = [train];
  try {
    const validation = options.validation && (await openDataset(options.validation));
    if (validation) opened.push(validation);
    const sets = squeezeSets(train, validation, plan.seed ?? 42);
    const { model: squeezed, report } = await squeezeModel(model, sets, plan, context);
    context.signal?.throwIfAborted();
    const written = await saveModel(squeezed, output);
    return { ...report, output: written.file, outputBytes: written.sizeBytes };
  } finally {
    for (const { source } of opened) await source.close?.();
  }
}
