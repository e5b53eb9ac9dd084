/** One compressed model: made within a limit, trained a little, stored small, and measured. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type DecomposedGraph, decomposeNetwork } from '../compression/decompose-network.js';
import { buildLayerOutcome, type LayerOutcome } from '../compression/layer-outcome.js';
import { buildDenseSensitivity } from '../compression/sensitivity-analysis.js';
import { buildDenseOption } from '../compression/sensitivity-curves.js';
import { isLabelled } from '../data/image-items.js';
import { findDefaultLayer } from '../explain/layers.js';
import type { Graph, Node } from '../graph/model.js';
import { listParameters } from '../graph/parameters.js';
import { findReachable } from '../graph/uses.js';
import { computeCacheKey } from '../io/feature-cache.js';
import { type LoadedModel, openModel } from '../io/models/model-file.js';
import { saveWork } from '../io/models/save-model.js';
import { finetuneSchema, toTrainPlan } from '../recipes/training-schema.js';
import { runTraining } from '../training-run/run-training.js';
import type { TrainingOutcome } from '../training-run/training-outcome.js';
import { defined } from '../values.js';
import { layerOutcomesSchema, toLayerOutcomes } from './compression-cache.js';
import { buildDecompositionOptions, type CompressionSession } from './compression-session.js';
import { type Cost, type CostedModel, compressWithinLimit } from './cost-limit.js';
import type { MeasuredLoss } from './measured-loss.js';
import { getStorage, storeAndImport } from './weight-storage.js';

/** A compressed model and what it amounted to. */
export interface CompressionCandidate {
  /** As it is written: weights in their small form. */
  readonly stored: LoadedModel;
  /** The same values in float32, as the file opens again. */
  readonly model: LoadedModel;
  readonly layers: readonly LayerOutcome[];
  readonly loss: MeasuredLoss;
  /** Top-1 on the training images in each epoch of its training. */
  readonly trainTop1: readonly number[];
  /** Where it was trained: epoch 0, the epoch that was kept, and what it gained. */
  readonly finetuning?: TrainingOutcome;
}

/** What costs are counted of, of a workshop. */
export function toCostedModel({ original, simplified: folded, layers, plan }: CompressionSession): CostedModel {
  return { original, simplified: folded, layers, store: getStorage(plan, original) };
}

/**
 * How a compressed model is trained: at a low rate, to labels and to what the original predicts and looks at. The refit is a
 * minimum already: Dropout, and higher rates, lose more than an epoch wins back.
 */
const RECOVERY_TRAINING = {
  schedule: 'one-cycle',
  learningRate: [1e-5, 1e-4],
  batchNorm: 'frozen',
  dropout: false,
} as const;
/** What is learnt: mostly labels, the rest of the targets from the original; and its maps. */
const RECOVERY_TARGETS = { labels: 0.7, maps: 2 } as const;

/**
 * The parameters of the convolutions on the grid of the maps that are compared, and of everything after: in a VGG or ResNet
 * the last stage and the classifier. What is before them is computed once for each image, and stays as it was fitted.
 */
function listRecoveryParameters(graph: Graph): string[] {
  const { output, grid } = findDefaultLayer(graph);
  const downstream = findReachable(graph, [output]);
  const parameters = new Map(listParameters(graph).map(({ value, name }) => [value, name]));
  const isOnGrid = (node: Node) => {
    const [, , height, width] = node.outputs[0]?.type?.dims ?? [];
    return node.op === 'Conv' && height === grid.height && width === grid.width;
  };
  const trained = graph.nodes.filter(
    (node) => isOnGrid(node) || node.outputs.some((value) => value && downstream.has(value)),
  );
  return trained.flatMap(({ inputs }) => inputs.flatMap((input) => (input && parameters.get(input)) ?? []));
}

/** A model after its training. */
interface TrainedCandidate {
  readonly model: LoadedModel;
  readonly trainTop1: readonly number[];
  /** Epoch 0, the epoch that was kept, and what it gained. */
  readonly outcome?: TrainingOutcome;
}

async function trainCandidate(session: CompressionSession, model: LoadedModel, key: string): Promise<TrainedCandidate> {
  const { original, sets, plan, context, memory } = session;
  const epochs = plan.finetuneEpochs ?? 0;
  if (epochs === 0) return { model, trainTop1: [] };
  const labels = isLabelled(sets.train.source) ? RECOVERY_TARGETS.labels : 0;
  // Of a model without a layer that has a map everything is trained, and no map is learnt.
  const aim =
    session.mapImages === undefined
      ? { train: '*', distill: { labels } }
      : { train: listRecoveryParameters(model.graph), distill: { ...RECOVERY_TARGETS, labels } };
  const recoveryPlan = { ...RECOVERY_TRAINING, ...aim, epochs, seed: plan.seed ?? 42 };
  const work =
    memory.folder === undefined ? {} : { work: { folder: join(memory.folder, `training-best-${key}`), resume: true } };
  const { train, validation } = sets;
  const training = toTrainPlan(finetuneSchema.parse(recoveryPlan));
  const result = await runTraining(
    { model, data: { train, validation }, plan: training, ...work, teacher: original },
    context,
  );
  context.signal?.throwIfAborted();
  const { history, before, kept, top1Gain } = result.figures;
  return {
    model: result.model,
    trainTop1: history.map(({ trainTop1 }) => trainTop1),
    outcome: { ...defined({ before }), kept, ...defined({ top1Gain }) },
  };
}

/** Trains, stores and measures a compressed graph. */
async function finishCandidate(
  session: CompressionSession,
  graph: Graph,
  layers: readonly LayerOutcome[],
  key: string,
): Promise<CompressionCandidate> {
  const { original, plan } = session;
  const replaced = new Set(layers.flatMap(({ path, scheme }) => (scheme ? [path] : [])));
  const { layers: trains, ...info } = original.info;
  const kept = trains?.filter(({ path }) => !replaced.has(path)) ?? [];
  const start = { graph, info: { ...info, ...(kept.length > 0 ? { layers: kept } : {}) } };
  const {
    model: float,
    trainTop1,
    outcome,
  } = await trainCandidate(session, start, computeCacheKey([key, `${plan.finetuneEpochs}`]));
  const store = getStorage(plan, original);
  const { stored, model } = storeAndImport(float, store);
  const own = computeCacheKey([
    key,
    JSON.stringify([plan.finetuneEpochs, store]),
    ...(plan.finetuneEpochs ? ['best epoch'] : []),
  ]);
  const loss = await session.measureLoss(own, async () => model);
  return { stored, model, layers, loss, trainTop1, ...defined({ finetuning: outcome }) };
}

/** The compressed graph of a limit: made, or as it was kept. */
async function readOrMakeCompressed(
  session: CompressionSession,
  cost: Cost,
  limit: number,
  key: string,
): Promise<Pick<DecomposedGraph, 'graph' | 'layers'>> {
  const { memory, original } = session;
  const name = `squeezed-${key}`;
  const found = await memory.read(name, layerOutcomesSchema);
  const file = memory.folder === undefined ? undefined : join(memory.folder, `${name}.onnx`);
  if (found && file && existsSync(file)) {
    return { graph: (await openModel(file)).graph, layers: toLayerOutcomes(found.value) };
  }
  const analysed = await session.getAnalysedNetwork();
  const decompose = (amount: number) =>
    decomposeNetwork(session.engine, analysed, amount, buildDecompositionOptions(session));
  const { graph, layers } = await compressWithinLimit(toCostedModel(session), cost, limit, decompose);
  if (file) await saveWork({ graph, info: original.info }, file);
  await memory.write(name, layers);
  return { graph, layers };
}

/** A candidate whose cost is within a limit. Throws `OutOfReach` when there is none. */
export async function makeCandidateWithin(
  session: CompressionSession,
  cost: Cost,
  limit: number,
): Promise<CompressionCandidate> {
  const { key, plan, original } = session;
  // Of a size it decides what a parameter takes.
  const own = computeCacheKey([
    key,
    JSON.stringify([cost, limit, cost === 'size' ? getStorage(plan, original) : undefined, plan.rounds]),
  ]);
  const { graph, layers } = await readOrMakeCompressed(session, cost, limit, own);
  return finishCandidate(session, graph, layers, own);
}

/** The dense model put through the same training: what training alone does to accuracy and maps. */
export async function measureTrainedControl(
  session: CompressionSession,
): Promise<Pick<MeasuredLoss, 'accuracy' | 'maps'>> {
  const { original, simplified: folded, plan } = session;
  const key = computeCacheKey([session.key, 'control', `${plan.finetuneEpochs}`, 'best epoch']);
  return session.measureLoss(
    key,
    async () => (await trainCandidate(session, { ...original, graph: folded }, key)).model,
  );
}

/** The candidate of lossless simplification alone. */
export async function makeDenseCandidate(session: CompressionSession, reason: string): Promise<CompressionCandidate> {
  const layers = session.layers.map((layer) => {
    const sensitivity = buildDenseSensitivity(layer, 'parameters', reason);
    return buildLayerOutcome(sensitivity, buildDenseOption(layer, 'parameters'));
  });
  return finishCandidate(session, session.simplified, layers, computeCacheKey([session.key, 'dense']));
}
