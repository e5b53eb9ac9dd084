/** What every squeezed model of one original is made from: learnt when it is first asked for, and kept. */
import { appendGradients } from '../autodiff/gradient.js';
import { foldExact } from '../compression/fold-exact.js';
import { describeRefusals } from '../compression/refusals.js';
import type { SpendOptions, StudiedNetwork } from '../compression/spend.js';
import { type SqueezeOptions, studyNetwork } from '../compression/squeeze.js';
import { type Refusal, type SqueezeLayer, squeezeLayers } from '../compression/squeeze-layer.js';
import { engineOf, type VerbContext } from '../context/context.js';
import type { Engine } from '../engine/engine.js';
import { ShiboriError, suggestion, UsageError } from '../errors.js';
import { sizeOfModel } from '../evaluation/size.js';
import { spatialLayers } from '../explain/layers.js';
import type { Graph } from '../graph/model.js';
import { fitsPattern } from '../graph/module-path.js';
import { checkLabels, type Dataset, preprocessOf } from '../images/dataset.js';
import { featureKey } from '../io/feature-store.js';
import type { LoadedModel } from '../io/models/model-file.js';
import { noMemory, type WorkMemory } from '../io/work-memory.js';
import type { FoldNote } from '../passes/fold.js';
import { ofAnyBatch } from '../passes/free-batch.js';
import type { SizeFigures } from '../report/comparison.js';
import type { Tensor } from '../tensor/tensor.js';
import { digestOf } from '../train/weights.js';
import { partsOf } from '../training-run/finetune-data.js';
import type { SqueezePlan } from './goal.js';
import { calibrationImages, type SqueezeSets } from './images.js';
import { type Loss, lossOf, type Predictions, predictionsOf } from './measure.js';
import { rememberedLoss, rememberedPredictions, studyMemory } from './remembered.js';

/** What every candidate is made from. */
export interface Workshop {
  readonly engine: Engine;
  readonly original: LoadedModel;
  /** The original after exact savings, any batch. */
  readonly folded: Graph;
  readonly folds: readonly FoldNote[];
  /** The layers that may be squeezed, and those that no scheme takes. */
  readonly layers: readonly SqueezeLayer[];
  readonly refused: readonly Refusal[];
  readonly sets: SqueezeSets;
  readonly plan: SqueezePlan;
  readonly context: VerbContext;
  readonly memory: WorkMemory;
  /** Tells this study from others: model, images, plan. */
  readonly key: string;
  /** Images whose maps are compared; `undefined` for a model of which no layer has a map. */
  readonly mapImages: number | undefined;
  /** What the original says of the validation images. */
  before(): Promise<Predictions>;
  /**
   * What another model loses on them; kept by a key of what decides the model.
   *
   * @param make the model, which is not asked for where its loss is known.
   */
  lossOf(key: string, make: () => Promise<LoadedModel>): Promise<Loss>;
  /** What the original takes, as an ONNX file. */
  size(): Promise<SizeFigures>;
  /** The images that statistics are taken of. */
  calibration(): Promise<readonly Tensor[]>;
  /** What each layer is worth. */
  studied(): Promise<StudiedNetwork>;
}

/** Images whose maps are compared unless a plan says how many. */
const MAP_IMAGES = 64;

/** The layers that patterns choose. Throws a UsageError for a pattern that chooses none. */
export function chosenLayers(graph: Graph, patterns: readonly string[] | undefined) {
  const { layers, refused } = squeezeLayers(graph);
  const paths = layers.map(({ path }) => path);
  if (layers.length === 0) {
    const why = describeRefusals(refused).join('; ');
    throw new ShiboriError(`The model has no layer that can be squeezed${why === '' ? '' : ` (${why})`}.`, {
      code: 'unsupported-model',
    });
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
  const layersChosen = layers.filter(({ path }) => !patterns || patterns.some((pattern) => fitsPattern(path, pattern)));
  return { layers: layersChosen, refused };
}

/** Options of the core that a plan decides. */
export function squeezeOptions({ plan, context }: Pick<Workshop, 'plan' | 'context'>): SqueezeOptions {
  return {
    gradients: appendGradients,
    ...(plan.schemes ? { schemes: plan.schemes } : {}),
    ...(plan.seed === undefined ? {} : { seed: plan.seed }),
    ...(context.signal ? { signal: context.signal } : {}),
    onProgress: ({ stage, done, total, layer }) =>
      context.onProgress?.({ stage, done, total, ...(layer === undefined ? {} : { fields: { layer } }) }),
  };
}

/** How budgets are spent, as a plan decides. */
export function spendOptions({ plan: { rounds }, context }: Pick<Workshop, 'plan' | 'context'>): SpendOptions {
  return {
    ...(rounds === undefined ? {} : { rounds }),
    ...(context.signal ? { signal: context.signal } : {}),
    onFit: (layer, done, total) => context.onProgress?.({ stage: 'refit', done, total, fields: { layer } }),
    onRound: (round, divergence, isBest) =>
      context.onNote?.(`round ${round}: mean KL ${divergence.toPrecision(3)} nats${isBest ? '' : ', not better'}`),
  };
}

/** Something that is made once. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

/** What tells the images of a data set, as a model takes them, from others. */
async function imagesKey(model: LoadedModel, dataset: Dataset): Promise<string> {
  const preprocess = preprocessOf(model.graph, model.info);
  return featureKey(await partsOf(dataset, { preprocess, augmentation: undefined, seed: 0 }));
}

/**
 * Prepares squeezing a model: exact savings, and the layers to squeeze.
 *
 * @param memory where the work is kept. Default: nowhere.
 * @throws UsageError for patterns that fit no layer and labels that do not fit the model.
 */
export async function openWorkshop(
  original: LoadedModel,
  sets: SqueezeSets,
  plan: SqueezePlan,
  context: VerbContext,
  memory: WorkMemory = noMemory,
): Promise<Workshop> {
  const engine = engineOf(context);
  for (const { source } of [sets.train, sets.validation]) checkLabels(original, source);
  context.onProgress?.({ stage: 'fold', done: 0, total: 1 });
  const { graph: folded, notes: folds } = await foldExact(engine, ofAnyBatch(original.graph));
  context.onProgress?.({ stage: 'fold', done: 1, total: 1 });
  const { layers, refused } = chosenLayers(folded, plan.layers);
  const { seed = 42, schemes, calibration: wanted } = plan;
  const goal = plan.goal.kind === 'macs' ? 'multiplyAdds' : 'parameters';
  const parts = { goal, seed, schemes, wanted, paths: layers.map(({ path }) => path) };
  const model = digestOf(original.graph);
  const key = featureKey([model, await imagesKey(original, sets.train), JSON.stringify(parts)]);
  const predictionsKey = featureKey([model, await imagesKey(original, sets.validation)]);
  const calibration = once(() => calibrationImages(original, sets.train, layers, wanted, seed, context));
  const before = once(() =>
    rememberedPredictions(memory, `original-${predictionsKey}`, () =>
      predictionsOf(original, sets.validation, true, context),
    ),
  );
  const hasMaps = spatialLayers(original.graph).some(({ isDefault }) => isDefault);
  const mapImages = hasMaps ? (plan.mapImages ?? MAP_IMAGES) : undefined;
  return {
    engine,
    original,
    folded,
    folds,
    layers,
    refused,
    sets,
    plan,
    context,
    memory,
    key,
    mapImages,
    before,
    lossOf: (own, make) =>
      rememberedLoss(memory, `loss-${featureKey([own, predictionsKey, `${mapImages}`])}`, async () =>
        lossOf(original, await before(), await make(), sets.validation, mapImages, context),
      ),
    size: once(() => sizeOfModel(original)),
    calibration,
    studied: once(async () => {
      const options = { ...squeezeOptions({ plan, context }), memory: studyMemory(memory, key) };
      return studyNetwork(engine, folded, layers, await calibration(), goal, options);
    }),
  };
}
