/** What a compressed model costs, and compression within a limit of it. */

import { BudgetUnreachable } from '../compression/budget-allocation.js';
import { type CompressibleLayer, countDenseMacs, type RefusedLayer } from '../compression/compressible-layers.js';
import type { DecomposedGraph } from '../compression/decompose-network.js';
import { describeRefusedLayers } from '../compression/refused-layers.js';
import { ShiboriError } from '../errors.js';
import type { Graph } from '../graph/model.js';
import { encodeModel, type LoadedModel } from '../io/models/model-file.js';
import { findStoredFile } from '../io/models/stored-file.js';
import { summarizeImage } from '../models/summary.js';
import type { StorageType } from '../passes/store-weights.js';
import { formatInteger } from '../report/format.js';
import { type CompressionGoal, type CostKind, resolveAmount } from './compression-plan.js';

/** What a budget limits. */
export type Cost = CostKind;

/** What costs are counted of. */
export interface CostedModel {
  readonly original: LoadedModel;
  /** The original after lossless simplification. */
  readonly simplified: Graph;
  readonly layers: readonly CompressibleLayer[];
  readonly store: StorageType;
}

/** How each cost is named, and an amount of it. */
export const costTexts: Readonly<Record<Cost, { readonly option: string; text(value: number): string }>> = {
  params: { option: 'parameters', text: (value) => `${formatInteger(value)} parameters` },
  size: { option: 'size', text: (value) => `${formatInteger(value)} bytes` },
  macs: { option: 'macs', text: (value) => `${formatInteger(value)} multiply-adds` },
};

/** A share as a percentage of three digits. */
export const formatPreciseShare = (share: number): string => `${(100 * share).toPrecision(3)} %`;

/** Nothing can be made so small; `smallest` in the unit of the limit. */
export class LimitUnreachable extends ShiboriError {
  constructor(
    readonly smallest: number,
    cause: unknown,
  ) {
    super(`The smallest these layers can be made is ${smallest}.`, { code: 'goal-unreachable', cause });
  }
}

/** What a goal amounts to, and what the original costs: of a size, what its file takes. */
export async function computeLimit(costed: CostedModel, goal: Extract<CompressionGoal, { kind: Cost }>) {
  const stored = goal.kind === 'size' ? findStoredFile(costed.original) : undefined;
  const whole = stored?.bytes ?? (await measureCost(costed.original.graph, goal.kind, { ...costed, store: 'float32' }));
  return { limit: resolveAmount(goal.most, whole), whole };
}

/** The most bytes that a compressed file may take, where its goal is of bytes. */
export function getMaxBytes(original: LoadedModel, goal: CompressionGoal): { readonly maxBytes?: number } {
  if (goal.kind !== 'size') return {};
  if ('amount' in goal.most) return { maxBytes: goal.most.amount };
  const stored = findStoredFile(original);
  return stored ? { maxBytes: resolveAmount(goal.most, stored.bytes) } : {};
}

/**
 * Describes a limit that cannot be reached: what was asked for, what can be had, and which layers stand in the way.
 *
 * @param refused the layers that no scheme takes.
 */
export function createLimitError(
  kind: Cost,
  { limit, whole }: { readonly limit: number; readonly whole: number },
  refused: readonly RefusedLayer[],
  error: LimitUnreachable,
): ShiboriError {
  const { option, text } = costTexts[kind];
  const kept = describeRefusedLayers(refused).map((sentence) => ` ${sentence}.`);
  return new ShiboriError(
    `\`${option}\`: ${text(limit)} cannot be reached, the smallest is ${text(error.smallest)} (${formatPreciseShare(error.smallest / whole)} of the original).${kept.join('')} Allow that much, or widen \`layers\` and \`schemes\`. Nothing was written.`,
    { code: 'goal-unreachable', option, cause: error },
  );
}

const BYTES_PER_WEIGHT: Readonly<Record<StorageType, number>> = { float32: 4, float16: 2, int8: 1 };

/** What a graph costs once its weights are stored. */
export async function measureCost(graph: Graph, cost: Cost, { original, store }: CostedModel): Promise<number> {
  if (cost === 'size') {
    const chunks = await encodeModel({ graph, info: { ...original.info, store } }, 'onnx');
    return chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  }
  const { parameters, multAdds } = summarizeImage(graph);
  return cost === 'params' ? parameters : multAdds;
}

/** Tries until what a file really takes, headers and small tensors included, is within its limit. */
const LIMIT_ATTEMPTS = 4;

/** Spends an amount of what the core counts: parameters of the graph, or MACs of its layers. */
export type DecomposeToAmount = (amount: number) => Promise<Pick<DecomposedGraph, 'graph' | 'layers'>>;

/**
 * Compresses until the graph's own cost is within the limit.
 *
 * @throws OutOfReach when it cannot be made so small.
 */
export async function compressWithinLimit(
  costed: CostedModel,
  cost: Cost,
  limit: number,
  decompose: DecomposeToAmount,
) {
  const { simplified, layers, store } = costed;
  const width = cost === 'size' ? BYTES_PER_WEIGHT[store] : 1;
  const dense = await measureCost(simplified, cost === 'size' ? 'params' : cost, costed);
  // What the budget of the core does not count: headers, and MACs of what is not compressed.
  const rest =
    cost === 'size'
      ? (await measureCost(simplified, cost, costed)) - width * dense
      : cost === 'macs'
        ? dense - layers.reduce((sum, layer) => sum + countDenseMacs(layer), 0)
        : 0;
  let amount = (limit - rest) / width;
  for (let attempt = 1; ; attempt++) {
    const compressed = await decompose(Math.floor(amount)).catch((error: unknown) => {
      if (!(error instanceof BudgetUnreachable)) throw error;
      throw new LimitUnreachable(Math.ceil(limit + width * (error.smallest - error.budget)), error);
    });
    const found = await measureCost(compressed.graph, cost, costed);
    if (found <= limit) return compressed;
    if (attempt === LIMIT_ATTEMPTS) throw new LimitUnreachable(found, undefined);
    amount -= (1.1 * (found - limit)) / width;
  }
}
