/** One squeezed model: made within a limit, trained a little, stored small, and measured. */
import { appendGradients } from '../../autodiff/gradient.js';
import type { Engine } from '../../engine/engine.js';
import { evaluateNode } from '../../engine/reference.js';
import { ShiboriError } from '../../errors.js';
import { type Graph, OPSET } from '../../graph/model.js';
import { summarize } from '../../models/summary.js';
import { encodeModel, type LoadedModel } from '../../node/model-file.js';
import { importGraph } from '../../passes/import-graph.js';
import { type StorageType, storeWeights } from '../../passes/store-weights.js';
import { BudgetUnreachable } from '../../squeeze/allocation.js';
import { denseOption } from '../../squeeze/curves.js';
import {
  type SqueezedLayer,
  type SqueezeOptions,
  type StudiedNetwork,
  spendBudget,
  squeezedLayer,
  studyNetwork,
} from '../../squeeze/squeeze.js';
import { denseMultiplyAdds, type SqueezeLayer } from '../../squeeze/squeeze-layer.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { VerbContext } from '../context.js';
import { finetuneModel } from '../finetune.js';
import { finetuneSchema } from '../recipe.js';
import type { SqueezeGoal, SqueezePlan } from './goal.js';
import type { SqueezeSets } from './images.js';
import { type Loss, lossOf, type Predictions } from './measure.js';

/** What every candidate is made from. */
export interface Workshop {
  readonly engine: Engine;
  readonly original: LoadedModel;
  /** The original after exact savings, any batch. */
  readonly folded: Graph;
  /** The layers that may be squeezed. */
  readonly layers: readonly SqueezeLayer[];
  readonly sets: SqueezeSets;
  /** What the original says of the validation images. */
  readonly before: Predictions;
  readonly plan: SqueezePlan;
  readonly context: VerbContext;
  /** What each layer is worth: learnt when it is first asked for, once for all candidates. */
  studied(): Promise<StudiedNetwork>;
}

function squeezeOptions({ plan, context }: Pick<Workshop, 'plan' | 'context'>): SqueezeOptions {
  return {
    gradients: appendGradients,
    ...(plan.schemes ? { schemes: plan.schemes } : {}),
    ...(plan.seed === undefined ? {} : { seed: plan.seed }),
    ...(context.signal ? { signal: context.signal } : {}),
    onProgress: ({ stage, done, total, layer }) =>
      context.onProgress?.({ stage, done, total, ...(layer === undefined ? {} : { fields: { layer } }) }),
  };
}

/** @param calibration images that tell what each layer is worth, in batches. */
export function openWorkshop(parts: Omit<Workshop, 'studied'>, calibration: readonly Tensor[]): Workshop {
  const { engine, folded, layers, plan } = parts;
  const goal = plan.goal.kind === 'macs' ? 'multiplyAdds' : 'parameters';
  let studied: Promise<StudiedNetwork> | undefined;
  return {
    ...parts,
    studied() {
      studied ??= studyNetwork(engine, folded, layers, calibration, goal, squeezeOptions(parts));
      return studied;
    },
  };
}

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
}

/** What a budget limits. */
export type Cost = Extract<SqueezeGoal['kind'], 'params' | 'size' | 'macs'>;

/** Nothing can be made so small; `smallest` in the unit of the limit. */
export class OutOfReach extends ShiboriError {
  constructor(
    readonly smallest: number,
    cause: unknown,
  ) {
    super(`The smallest these layers can be made is ${smallest}.`, { cause });
  }
}

const BYTES_PER_WEIGHT: Readonly<Record<StorageType, number>> = { float32: 4, float16: 2, int8: 1 };

/** What a graph costs once its weights are stored. */
export async function costOf(graph: Graph, cost: Cost, { original, plan }: Workshop): Promise<number> {
  if (cost === 'size') {
    const stored = storeWeights(graph, plan.store ?? 'float32');
    const chunks = await encodeModel({ graph: stored, info: original.info }, 'onnx');
    return chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  }
  const { parameters, multAdds } = summarize(graph);
  return cost === 'params' ? parameters : multAdds;
}

/** Tries until what a file really takes, headers and small tensors included, is within its limit. */
const TRIES = 4;

/** Squeezes until the graph's own cost is within the limit. */
async function squeezeWithin(shop: Workshop, cost: Cost, limit: number) {
  const { engine, folded, layers, plan } = shop;
  const network = await shop.studied();
  const width = cost === 'size' ? BYTES_PER_WEIGHT[plan.store ?? 'float32'] : 1;
  const dense = cost === 'size' ? await costOf(folded, 'params', shop) : await costOf(folded, cost, shop);
  // What the budget of the core does not count: headers, and multiply-adds of what is not squeezed.
  const rest =
    cost === 'size'
      ? (await costOf(folded, cost, shop)) - width * dense
      : cost === 'macs'
        ? dense - layers.reduce((sum, layer) => sum + denseMultiplyAdds(layer), 0)
        : 0;
  let amount = (limit - rest) / width;
  for (let attempt = 1; ; attempt++) {
    const squeezed = await spendBudget(engine, network, Math.floor(amount), squeezeOptions(shop)).catch(
      (error: unknown) => {
        if (!(error instanceof BudgetUnreachable)) throw error;
        throw new OutOfReach(Math.ceil(limit + width * (error.smallest - error.budget)), error);
      },
    );
    const found = await costOf(squeezed.graph, cost, shop);
    if (found <= limit) return squeezed;
    if (attempt === TRIES) throw new OutOfReach(found, undefined);
    amount -= (1.1 * (found - limit)) / width;
  }
}

async function trained(shop: Workshop, model: LoadedModel): Promise<{ model: LoadedModel; trainTop1: number[] }> {
  const { sets, plan, context } = shop;
  const epochs = plan.finetune ?? 0;
  if (epochs === 0) return { model, trainTop1: [] };
  const stage = { train: '*', epochs, learningRate: [1e-5, 1e-4], schedule: 'one-cycle', seed: plan.seed ?? 42 };
  const result = await finetuneModel(model, { train: sets.train }, finetuneSchema.parse(stage), {}, context);
  context.signal?.throwIfAborted();
  return { model: result.model, trainTop1: result.report.history.map(({ trainTop1 }) => trainTop1) };
}

/** Trains, stores and measures a squeezed graph. */
async function finished(shop: Workshop, graph: Graph, layers: readonly SqueezedLayer[]): Promise<Candidate> {
  const { original, before, sets, plan, context } = shop;
  const replaced = new Set(layers.flatMap(({ path, scheme }) => (scheme ? [path] : [])));
  const { layers: trains, ...info } = original.info;
  const kept = trains?.filter(({ path }) => !replaced.has(path)) ?? [];
  const start = { graph, info: { ...info, ...(kept.length > 0 ? { layers: kept } : {}) } };
  const { model: float, trainTop1 } = await trained(shop, start);
  const stored = { ...float, graph: storeWeights(float.graph, plan.store ?? 'float32') };
  const model =
    stored.graph === float.graph
      ? float
      : {
          ...float,
          graph: importGraph({ graph: stored.graph, opset: OPSET, domains: {}, metadata: {} }, graph.name, evaluateNode)
            .graph,
        };
  const mapImages = plan.minMapSimilarity === undefined ? undefined : (plan.mapImages ?? 64);
  const loss = await lossOf(original, before, model, sets.validation, mapImages, context);
  return { stored, model, layers, loss, trainTop1 };
}

/** A candidate whose cost is within a limit. Throws `OutOfReach` when there is none. */
export async function candidateWithin(shop: Workshop, cost: Cost, limit: number): Promise<Candidate> {
  const { graph, layers } = await squeezeWithin(shop, cost, limit);
  return finished(shop, graph, layers);
}

/** The candidate of exact savings alone. */
export async function denseCandidate(shop: Workshop, reason: string): Promise<Candidate> {
  const layers = shop.layers.map((layer) => {
    const option = denseOption(layer, 'parameters');
    return squeezedLayer({ layer, output: undefined, options: [option], measured: [], reason }, option);
  });
  return finished(shop, shop.folded, layers);
}
