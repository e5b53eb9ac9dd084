import { foldExact } from '../compression/fold-exact.js';
import { spendOnWeights, studyWeights, withinError } from '../compression/weight-only.js';
import { engineOf, tellNotes, type VerbContext } from '../context/context.js';
import { UsageError } from '../errors.js';
import { sizeOfModel } from '../evaluation/size.js';
import { type LoadedModel, type OpenOptions, openModel } from '../io/models/model-file.js';
import { saveModel } from '../io/models/save-model.js';
import { ofAnyBatch } from '../passes/free-batch.js';
import { bytesAllowed, costOf, limitOf, OutOfReach, squeezeWithin, unreachableLimit } from './cost.js';
import { layerFigures, sizeChange } from './figures.js';
import type { SqueezePlan } from './goal.js';
import { outputOf } from './squeeze.js';
import type { SqueezedShape } from './squeezing.js';
import { importStored, storageOf } from './stored.js';
import { chosenLayers } from './workshop.js';

/** What is measured cannot be promised without images. */
const needsImages = (option: string) => new UsageError(`${option} is measured on images: give --data.`);

/**
 * Squeezes a loaded model by its weights alone. Of a goal of error, it is what the weight of no layer may exceed.
 *
 * @throws UsageError for goals that need images, ShiboriError when the goal cannot be met (says what can).
 */
export async function squeezeModelWeights(
  original: LoadedModel,
  plan: SqueezePlan,
  context: VerbContext = {},
): Promise<{ readonly model: LoadedModel; readonly report: SqueezedShape }> {
  const start = performance.now();
  const { goal } = plan;
  const store = storageOf(plan, original);
  if (goal.kind === 'accuracyDrop') throw needsImages('--max-accuracy-drop');
  if (plan.minMapSimilarity !== undefined) throw needsImages('--min-cam-similarity');
  if (plan.finetune) throw needsImages('--finetune');
  if (plan.rounds !== undefined && plan.rounds > 1) throw needsImages('--rounds');
  const engine = engineOf(context);
  const { graph: folded, notes: folds } = await foldExact(engine, ofAnyBatch(original.graph));
  const { layers: chosen, refused } = chosenLayers(folded, plan.layers);
  const options = {
    ...(plan.schemes ? { schemes: plan.schemes } : {}),
    ...(context.signal ? { signal: context.signal } : {}),
    onLayer: (layer: string, done: number, total: number) =>
      context.onProgress?.({ stage: 'curves', done, total, fields: { layer } }),
  };
  const counted = goal.kind === 'macs' ? 'multiplyAdds' : 'parameters';
  const study = await studyWeights(engine, folded, chosen, counted, options);
  const costed = { original, folded, layers: chosen, store };
  const squeezed = async () => {
    if (goal.kind === 'error') return spendOnWeights(engine, study, withinError(study, goal.most), options);
    const { limit, whole } = await limitOf(costed, goal);
    const amount = (most: number) => spendOnWeights(engine, study, most, options);
    if ((await costOf(folded, goal.kind, costed)) <= limit) return amount(Number.POSITIVE_INFINITY);
    return squeezeWithin(costed, goal.kind, limit, amount).catch((error: unknown) => {
      throw error instanceof OutOfReach ? unreachableLimit(goal.kind, { limit, whole }, refused, error) : error;
    });
  };
  const { graph, layers } = await squeezed();
  const { stored, model } = importStored({ ...original, graph }, store);
  const graphs = { folded, stored: stored.graph, float: model.graph };
  const report: SqueezedShape = {
    goal,
    store,
    size: await sizeChange(await sizeOfModel(original), stored, model),
    layers: await layerFigures(engine, original, graphs, layers, []),
    refused,
    folds,
    seconds: (performance.now() - start) / 1000,
  };
  return { model: stored, report };
}

/** Squeezes a model file by its weights alone and writes the result, an ONNX file. */
export async function squeezeFileWeights(
  file: string,
  plan: SqueezePlan,
  options: OpenOptions & { readonly output?: string },
  context: VerbContext = {},
): Promise<SqueezedShape & { readonly output: string; readonly outputBytes: number }> {
  const output = outputOf(file, options.output);
  const model = await openModel(file, options);
  tellNotes(model, context);
  context.onWarning?.(
    'without images (--data) every direction of a weight counts alike: nobody knows what this costs the predictions',
  );
  const { model: squeezed, report } = await squeezeModelWeights(model, plan, context);
  context.signal?.throwIfAborted();
  const written = await saveModel(squeezed, output, { engine: engineOf(context), ...bytesAllowed(model, plan.goal) });
  return { ...report, output: written.file, outputBytes: written.sizeBytes };
}
