/** What a squeezed model costs, and squeezing within a limit of it. */

import { BudgetUnreachable } from '../compression/allocation.js';
import { describeRefusals } from '../compression/refusals.js';
import type { Spent } from '../compression/spend.js';
import { denseMultiplyAdds, type Refusal, type SqueezeLayer } from '../compression/squeeze-layer.js';
import { ShiboriError } from '../errors.js';
import type { Graph } from '../graph/model.js';
import { encodeModel, type LoadedModel } from '../io/models/model-file.js';
import { findStored } from '../io/models/stored-file.js';
import { summarizeImage } from '../models/summary.js';
import type { StorageType } from '../passes/store-weights.js';
import { integer } from '../report/format.js';
import { amountFrom, type SizeKind, type SqueezeGoal } from './goal.js';

/** What a budget limits. */
export type Cost = SizeKind;

/** What costs are counted of. */
export interface Costed {
  readonly original: LoadedModel;
  /** The original after exact savings. */
  readonly folded: Graph;
  readonly layers: readonly SqueezeLayer[];
  readonly store: StorageType;
}

/** How each cost is named, and an amount of it. */
export const costs: Readonly<Record<Cost, { readonly option: string; text(value: number): string }>> = {
  params: { option: '--params', text: (value) => `${integer(value)} parameters` },
  size: { option: '--size', text: (value) => `${integer(value)} bytes` },
  macs: { option: '--macs', text: (value) => `${integer(value)} multiply-adds` },
};

/** A share as a percentage of three digits. */
export const percent = (share: number): string => `${(100 * share).toPrecision(3)} %`;

/** Nothing can be made so small; `smallest` in the unit of the limit. */
export class OutOfReach extends ShiboriError {
  constructor(
    readonly smallest: number,
    cause: unknown,
  ) {
    super(`The smallest these layers can be made is ${smallest}.`, { code: 'goal-unreachable', cause });
  }
}

/** What a goal comes to, and what the original costs: of a size, what its file takes. */
export async function limitOf(costed: Costed, goal: Extract<SqueezeGoal, { kind: Cost }>) {
  const stored = goal.kind === 'size' ? findStored(costed.original) : undefined;
  const whole = stored?.bytes ?? (await costOf(costed.original.graph, goal.kind, { ...costed, store: 'float32' }));
  return { limit: amountFrom(goal.most, whole), whole };
}

/** The most bytes that a compressed file may take, where its goal is of bytes. */
export function bytesAllowed(original: LoadedModel, goal: SqueezeGoal): { readonly maxBytes?: number } {
  if (goal.kind !== 'size') return {};
  if ('amount' in goal.most) return { maxBytes: goal.most.amount };
  const stored = findStored(original);
  return stored ? { maxBytes: amountFrom(goal.most, stored.bytes) } : {};
}

/**
 * Describes a limit that cannot be reached: what was asked for, what can be had, and which layers stand in the way.
 *
 * @param refused the layers that no scheme takes.
 */
export function unreachableLimit(
  kind: Cost,
  { limit, whole }: { readonly limit: number; readonly whole: number },
  refused: readonly Refusal[],
  error: OutOfReach,
): ShiboriError {
  const { option, text } = costs[kind];
  const kept = describeRefusals(refused).map((sentence) => ` ${sentence}.`);
  return new ShiboriError(
    `${option}: ${text(limit)} cannot be reached, the smallest is ${text(error.smallest)} (${percent(error.smallest / whole)} of the original).${kept.join('')} Allow that much, or widen --layers and --schemes. Nothing was written.`,
    { code: 'unsupported-model', cause: error },
  );
}

const BYTES_PER_WEIGHT: Readonly<Record<StorageType, number>> = { float32: 4, float16: 2, int8: 1 };

/** What a graph costs once its weights are stored. */
export async function costOf(graph: Graph, cost: Cost, { original, store }: Costed): Promise<number> {
  if (cost === 'size') {
    const chunks = await encodeModel({ graph, info: { ...original.info, store } }, 'onnx');
    return chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  }
  const { parameters, multAdds } = summarizeImage(graph);
  return cost === 'params' ? parameters : multAdds;
}

/** Tries until what a file really takes, headers and small tensors included, is within its limit. */
const TRIES = 4;

/** Spends an amount of what the core counts: parameters of the graph, or multiply-adds of its layers. */
export type Spend = (amount: number) => Promise<Pick<Spent, 'graph' | 'layers'>>;

/**
 * Squeezes until the graph's own cost is within the limit.
 *
 * @throws OutOfReach when it cannot be made so small.
 */
export async function squeezeWithin(costed: Costed, cost: Cost, limit: number, spend: Spend) {
  const { folded, layers, store } = costed;
  const width = cost === 'size' ? BYTES_PER_WEIGHT[store] : 1;
  const dense = await costOf(folded, cost === 'size' ? 'params' : cost, costed);
  // What the budget of the core does not count: headers, and multiply-adds of what is not squeezed.
  const rest =
    cost === 'size'
      ? (await costOf(folded, cost, costed)) - width * dense
      : cost === 'macs'
        ? dense - layers.reduce((sum, layer) => sum + denseMultiplyAdds(layer), 0)
        : 0;
  let amount = (limit - rest) / width;
  for (let attempt = 1; ; attempt++) {
    const squeezed = await spend(Math.floor(amount)).catch((error: unknown) => {
      if (!(error instanceof BudgetUnreachable)) throw error;
      throw new OutOfReach(Math.ceil(limit + width * (error.smallest - error.budget)), error);
    });
    const found = await costOf(squeezed.graph, cost, costed);
    if (found <= limit) return squeezed;
    if (attempt === TRIES) throw new OutOfReach(found, undefined);
    amount -= (1.1 * (found - limit)) / width;
  }
}
