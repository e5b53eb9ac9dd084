/** From a goal to the candidate that reaches it. */

import type { VerbContext } from '../context/context.js';
import { ShiboriError } from '../errors.js';
import { featureKey } from '../io/feature-store.js';
import { boundedAgreement } from '../metrics/agreement.js';
import { summarize } from '../models/summary.js';
import { type Candidate, candidateWithin, costedOf, denseCandidate } from './candidate.js';
import { type Cost, costOf, costs, limitOf, OutOfReach, percent, unreachableLimit } from './cost.js';
import type { SqueezeGoal } from './goal.js';
import type { Loss } from './measure.js';
import { rememberTried, triedAmounts } from './remembered.js';
import { smallestHolding, type Trial } from './search.js';
import { storageOf } from './stored.js';
import type { Workshop } from './workshop.js';

/** A size that was tried on the way to a goal. */
export interface SqueezeTrial {
  /** The limit that was asked for, and the share of the original's parameters that came out. */
  readonly parameters: number;
  readonly share?: number;
  readonly holds: boolean;
  /** `undefined`: nothing can be made so small. */
  readonly top1?: number;
  readonly top1Drop?: number;
  readonly error?: number;
  readonly mapSimilarity?: number;
}

/** What a goal came to. */
export interface Reached {
  readonly candidate: Candidate;
  readonly trials: readonly SqueezeTrial[];
}

/** Squeezes that a search may take, and how many more to name the nearest goal that can be met. */
const LOOKS = { search: 6, nearest: 3 } as const;
/** No search looks below this share of the original's cost. */
const SMALLEST_SHARE = 0.01;

/** What a candidate must keep; what it loses of that, in words. */
interface Bound {
  /** How far beyond the bound, as a share of it where it is a bound of what is lost; 0 or less holds. */
  excess(loss: Loss): number;
  /** What was measured. */
  text(loss: Loss): string;
  /** What is wanted of it. */
  readonly wanted: string;
}

/** Describes what a candidate loses, and for each bound that it breaks what was wanted. */
function describeLoss(bounds: readonly Bound[], loss: Loss): string {
  return bounds
    .map(({ text, excess, wanted }) => `${text(loss)}${excess(loss) <= 0 ? '' : ` (${wanted} wanted)`}`)
    .join(', ');
}

/** How far a candidate is beyond the bound that it keeps worst. */
const worst = (bounds: readonly Bound[], loss: Loss): number => Math.max(...bounds.map(({ excess }) => excess(loss)));

/** Rounding of a percentage that is a ratio of two counts. */
const POINTS_TOLERANCE = 1e-9;

function dropOf({ top1Drop }: Loss): number {
  if (top1Drop === undefined) throw new Error('unreachable: a goal of accuracy needs labels');
  return top1Drop;
}

function boundsOf(goal: SqueezeGoal, minMapSimilarity: number | undefined): Bound[] {
  const bounds: Bound[] = [];
  if (goal.kind === 'accuracyDrop') {
    bounds.push({
      excess: (loss) => (dropOf(loss) - goal.most - POINTS_TOLERANCE) / Math.max(goal.most, 1),
      text: (loss) => `${dropOf(loss).toFixed(2)} points of top-1 lost`,
      wanted: `at most ${goal.most}`,
    });
  }
  if (goal.kind === 'error') {
    bounds.push({
      excess: ({ error }) => error / goal.most - 1,
      text: ({ error }) => `an output error of ${percent(error)}`,
      wanted: `at most ${percent(goal.most)}`,
    });
  }
  if (minMapSimilarity !== undefined) {
    bounds.push({
      excess: ({ maps }) =>
        (minMapSimilarity - (maps ? boundedAgreement(maps) : 0)) / Math.max(1 - minMapSimilarity, 1e-3),
      text: ({ maps }) => `maps that correlate at ${(maps ? boundedAgreement(maps) : 0).toFixed(3)}`,
      wanted: `at least ${minMapSimilarity}`,
    });
  }
  return bounds;
}

function trialOf({ amount, result, holds }: Trial<Candidate>, whole: number): SqueezeTrial {
  if (!result) return { parameters: amount, holds };
  const { accuracy, top1Drop, error, maps } = result.loss;
  const share = summarize(result.model.graph).parameters / whole;
  return {
    parameters: amount,
    share,
    holds,
    ...(accuracy && { top1: accuracy.top1 }),
    ...(top1Drop === undefined ? {} : { top1Drop }),
    error,
    ...(maps?.pearson ? { mapSimilarity: maps.pearson.mean } : {}),
  };
}

/** The smallest candidate that keeps its bounds, by bisection over a cost. */
async function search(
  shop: Workshop,
  cost: Cost,
  [below, above]: readonly [number, number],
  known: readonly number[],
  looks: number,
  bounds: readonly Bound[],
  context: VerbContext,
) {
  return smallestHolding<Candidate>(
    below,
    above,
    known,
    looks,
    async (amount) => {
      try {
        const candidate = await candidateWithin(shop, cost, amount);
        context.onNote?.(`${costs[cost].text(amount)}: ${describeLoss(bounds, candidate.loss)}`);
        return candidate;
      } catch (error) {
        if (error instanceof OutOfReach) return undefined;
        throw error;
      }
    },
    ({ loss }) => worst(bounds, loss),
  );
}

/** Tells budgets that were asked for of models made alike: a search may begin between them. */
function triedKey({ key, plan, original }: Workshop): string {
  return featureKey([key, JSON.stringify([plan.finetune, storageOf(plan, original)])]);
}

/** A model as small as its bounds allow. */
async function withinLoss(shop: Workshop, bounds: readonly Bound[], context: VerbContext): Promise<Reached> {
  const costed = costedOf(shop);
  const whole = await costOf(shop.original.graph, 'params', costed);
  const folded = await costOf(shop.folded, 'params', costed);
  const range = [SMALLEST_SHARE * whole, folded] as const;
  const known = await triedAmounts(shop.memory, triedKey(shop));
  const { best, trials } = await search(shop, 'params', range, known, LOOKS.search, bounds, context);
  const tried = trials.map((trial) => trialOf(trial, whole));
  if (best?.result) return { candidate: best.result, trials: tried };
  const dense = await denseCandidate(shop, 'every smaller form of the model lost more than the goal allows');
  const words = bounds.map(({ text }) => text(dense.loss)).join(', ');
  const held = worst(bounds, dense.loss) <= 0;
  if (held && (folded < whole || storageOf(shop.plan, shop.original) !== (shop.original.info.store ?? 'float32')))
    return { candidate: dense, trials: tried };
  const nearest = [...trials]
    .reverse()
    .flatMap(({ amount, result }) =>
      result
        ? [
            `${percent(amount / whole)} of the parameters cost ${bounds.map(({ text }) => text(result.loss)).join(', ')}`,
          ]
        : [],
    );
  throw new ShiboriError(
    `The goal cannot be met by a smaller model: ${nearest[0] ?? `even exact savings alone cost ${words}`}. Allow more, or recover more with --finetune. Nothing was written.`,
    { code: 'unsupported-model' },
  );
}

/** A model within a limit of its cost. */
async function withinCost(
  shop: Workshop,
  goal: Extract<SqueezeGoal, { kind: Cost }>,
  bounds: readonly Bound[],
  context: VerbContext,
): Promise<Reached> {
  const { option, text } = costs[goal.kind];
  const costed = costedOf(shop);
  const { limit, whole } = await limitOf(costed, goal);
  const folded = await costOf(shop.folded, goal.kind, costed);
  let candidate: Candidate;
  try {
    candidate =
      folded <= limit
        ? await denseCandidate(shop, 'exact savings alone are within the budget')
        : await candidateWithin(shop, goal.kind, limit);
  } catch (error) {
    throw error instanceof OutOfReach ? unreachableLimit(goal.kind, { limit, whole }, shop.refused, error) : error;
  }
  if (goal.kind === 'params') await rememberTried(shop.memory, triedKey(shop), limit);
  if (worst(bounds, candidate.loss) <= 0) return { candidate, trials: [] };
  const words = bounds.map((bound) => bound.text(candidate.loss)).join(', ');
  const { best } = await search(shop, goal.kind, [limit, folded], [], LOOKS.nearest, bounds, context);
  const nearest = best
    ? `The nearest that holds is ${text(best.amount)} (${percent(best.amount / whole)})`
    : 'Nothing smaller than the model itself was seen to hold';
  throw new ShiboriError(
    `${option}: ${text(limit)} give ${words}, which is less than asked for. ${nearest}. Nothing was written.`,
    { code: 'unsupported-model' },
  );
}

/**
 * The candidate that reaches the plan's goal.
 *
 * @throws ShiboriError when none does, naming the nearest goal that can be met.
 */
export async function reachGoal(shop: Workshop): Promise<Reached> {
  const { plan, context } = shop;
  const bounds = boundsOf(plan.goal, plan.minMapSimilarity);
  return plan.goal.kind === 'accuracyDrop' || plan.goal.kind === 'error'
    ? withinLoss(shop, bounds, context)
    : withinCost(shop, plan.goal, bounds, context);
}
