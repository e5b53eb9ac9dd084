/** One squeezed model: made within a limit, trained a little, stored small, and measured. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { denseOption } from '../compression/curves.js';
import { type Spent, spendBudget } from '../compression/spend.js';
import { type SqueezedLayer, squeezedLayer } from '../compression/squeezed-layer.js';
import { leftDense } from '../compression/study.js';
import { isLabelled } from '../data/dataset.js';
import { defaultLayer } from '../explain/layers.js';
import type { Graph, Node } from '../graph/model.js';
import { parametersOf } from '../graph/parameters.js';
import { reachableFrom } from '../graph/uses.js';
import { featureKey } from '../io/feature-store.js';
import { type LoadedModel, openModel } from '../io/models/model-file.js';
import { saveWork } from '../io/models/save-model.js';
import { finetuneSchema } from '../recipes/recipe.js';
import type { TrainingOutcome } from '../training-run/training-outcome.js';
import { finetuneModel } from '../workflows/finetune.js';
import { type Cost, type Costed, squeezeWithin } from './cost.js';
import type { Loss } from './measure.js';
import { layersOf, layersSchema } from './remembered.js';
import { importStored, storageOf } from './stored.js';
import { spendOptions, type Workshop } from './workshop.js';

/** A squeezed model and what it came to. */
export interface Candidate {
  /** As it is written: weights in their small form. */
  readonly stored: LoadedModel;
  /** The same values in float32, as the file opens again. */
  readonly model: LoadedModel;
  readonly layers: readonly SqueezedLayer[];
  readonly loss: Loss;
  /** Top-1 on the training images in each epoch of its training. */
  readonly trainTop1: readonly number[];
  /** Where it was trained: epoch 0, the epoch that was kept, and what it gained. */
  readonly finetuning?: TrainingOutcome;
}

/** What costs are counted of, of a workshop. */
export function costedOf({ original, folded, layers, plan }: Workshop): Costed {
  return { original, folded, layers, store: storageOf(plan, original) };
}

/**
 * How a squeezed model is trained: at a low rate, to labels and to what the original predicts and looks at. The refit is a
 * minimum already: Dropout, and higher rates, lose more than an epoch wins back.
 */
const RECOVERY = {
  schedule: 'one-cycle',
  learningRate: [1e-5, 1e-4],
  batchNorm: 'frozen',
  dropout: false,
} as const;
/** What is learnt: mostly labels, the rest of the targets from the original; and its maps. */
const LEARNT = { labels: 0.7, maps: 2 } as const;

/**
 * The parameters of the convolutions on the grid of the maps that are compared, and of everything behind: in a VGG or ResNet
 * the last stage and the classifier. What is before them is computed once for each image, and stays as it was fitted.
 */
function lastStage(graph: Graph): string[] {
  const { output, grid } = defaultLayer(graph);
  const behind = reachableFrom(graph, [output]);
  const parameters = new Map(parametersOf(graph).map(({ value, name }) => [value, name]));
  const isOnGrid = (node: Node) => {
    const [, , height, width] = node.outputs[0]?.type?.dims ?? [];
    return node.op === 'Conv' && height === grid.height && width === grid.width;
  };
  const trained = graph.nodes.filter(
    (node) => isOnGrid(node) || node.outputs.some((value) => value && behind.has(value)),
  );
  return trained.flatMap(({ inputs }) => inputs.flatMap((input) => (input && parameters.get(input)) ?? []));
}

/** A model after its training. */
interface Trained {
  readonly model: LoadedModel;
  readonly trainTop1: readonly number[];
  /** Epoch 0, the epoch that was kept, and what it gained. */
  readonly outcome?: TrainingOutcome;
}

async function trained(shop: Workshop, model: LoadedModel, key: string): Promise<Trained> {
  const { original, sets, plan, context, memory } = shop;
  const epochs = plan.finetune ?? 0;
  if (epochs === 0) return { model, trainTop1: [] };
  const labels = isLabelled(sets.train.source) ? LEARNT.labels : 0;
  // Of a model without a layer that has a map everything is trained, and no map is learnt.
  const aim =
    shop.mapImages === undefined
      ? { train: '*', distill: { labels } }
      : { train: lastStage(model.graph), distill: { ...LEARNT, labels } };
  const stage = { ...RECOVERY, ...aim, epochs, seed: plan.seed ?? 42 };
  const work =
    memory.folder === undefined ? {} : { work: { folder: join(memory.folder, `training-best-${key}`), resume: true } };
  const options = { ...work, teacher: original };
  const { train, validation } = sets;
  const result = await finetuneModel(model, { train, validation }, finetuneSchema.parse(stage), options, context);
  context.signal?.throwIfAborted();
  const { history, before, kept, top1Gain } = result.report;
  return {
    model: result.model,
    trainTop1: history.map(({ trainTop1 }) => trainTop1),
    outcome: { ...(before ? { before } : {}), kept, ...(top1Gain === undefined ? {} : { top1Gain }) },
  };
}

/** Trains, stores and measures a squeezed graph. */
async function finished(
  shop: Workshop,
  graph: Graph,
  layers: readonly SqueezedLayer[],
  key: string,
): Promise<Candidate> {
  const { original, plan } = shop;
  const replaced = new Set(layers.flatMap(({ path, scheme }) => (scheme ? [path] : [])));
  const { layers: trains, ...info } = original.info;
  const kept = trains?.filter(({ path }) => !replaced.has(path)) ?? [];
  const start = { graph, info: { ...info, ...(kept.length > 0 ? { layers: kept } : {}) } };
  const { model: float, trainTop1, outcome } = await trained(shop, start, featureKey([key, `${plan.finetune}`]));
  const store = storageOf(plan, original);
  const { stored, model } = importStored(float, store);
  const own = featureKey([key, JSON.stringify([plan.finetune, store]), ...(plan.finetune ? ['best epoch'] : [])]);
  const loss = await shop.lossOf(own, async () => model);
  return { stored, model, layers, loss, trainTop1, ...(outcome ? { finetuning: outcome } : {}) };
}

/** The squeezed graph of a limit: made, or as it was kept. */
async function squeezed(
  shop: Workshop,
  cost: Cost,
  limit: number,
  key: string,
): Promise<Pick<Spent, 'graph' | 'layers'>> {
  const { memory, original } = shop;
  const name = `squeezed-${key}`;
  const found = await memory.recall(name, layersSchema);
  const file = memory.folder === undefined ? undefined : join(memory.folder, `${name}.onnx`);
  if (found && file && existsSync(file)) {
    return { graph: (await openModel(file)).graph, layers: layersOf(found.value) };
  }
  const network = await shop.studied();
  const spend = (amount: number) => spendBudget(shop.engine, network, amount, spendOptions(shop));
  const { graph, layers } = await squeezeWithin(costedOf(shop), cost, limit, spend);
  if (file) await saveWork({ graph, info: original.info }, file);
  await memory.keep(name, layers);
  return { graph, layers };
}

/** A candidate whose cost is within a limit. Throws `OutOfReach` when there is none. */
export async function candidateWithin(shop: Workshop, cost: Cost, limit: number): Promise<Candidate> {
  const { key, plan, original } = shop;
  // Of a size it decides what a parameter takes.
  const own = featureKey([
    key,
    JSON.stringify([cost, limit, cost === 'size' ? storageOf(plan, original) : undefined, plan.rounds]),
  ]);
  const { graph, layers } = await squeezed(shop, cost, limit, own);
  return finished(shop, graph, layers, own);
}

/** The dense model put through the same training: what training alone does to accuracy and maps. */
export async function trainedControl(shop: Workshop): Promise<Pick<Loss, 'accuracy' | 'maps'>> {
  const { original, folded, plan } = shop;
  const key = featureKey([shop.key, 'control', `${plan.finetune}`, 'best epoch']);
  return shop.lossOf(key, async () => (await trained(shop, { ...original, graph: folded }, key)).model);
}

/** The candidate of exact savings alone. */
export async function denseCandidate(shop: Workshop, reason: string): Promise<Candidate> {
  const layers = shop.layers.map((layer) => {
    const studied = leftDense(layer, 'parameters', reason);
    return squeezedLayer(studied, denseOption(layer, 'parameters'));
  });
  return finished(shop, shop.folded, layers, featureKey([shop.key, 'dense']));
}
