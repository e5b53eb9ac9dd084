/** From a goal to the candidate that reaches it. */

import type { RunContext } from '../context/run-context.js';
import { ShiboriError } from '../errors.js';
import { computeCacheKey } from '../io/feature-cache.js';
import { computeBoundedAgreement } from '../metrics/agreement.js';
import { summarizeGraph } from '../models/summary.js';
import { defined } from '../values.js';
import { readTriedAmounts, writeTriedAmount } from './compression-cache.js';
import {
  type CompressionCandidate,
  makeCandidateWithin,
  makeDenseCandidate,
  toCostedModel,
} from './compression-candidate.js';
import type { CompressionGoal } from './compression-plan.js';
import type { CompressionSession } from './compression-session.js';
import {
  type Cost,
  computeLimit,
  costTexts,
  createLimitError,
  formatPreciseShare,
  LimitUnreachable,
  measureCost,
} from './cost-limit.js';
import type { MeasuredLoss } from './measured-loss.js';
import { findSmallestHolding, type SizeTrial } from './size-search.js';
import { getStorage } from './weight-storage.js';

/** A size that was tried on the way to a goal. */
export interface GoalTrial {
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

/** What a goal amounted to. */
export interface ReachedGoal {
  readonly candidate: CompressionCandidate;
  readonly trials: readonly GoalTrial[];
}

/** Compresses that a search may take, and how many more to name the nearest goal that can be met. */
const TRIAL_LIMITS = { search: 6, nearest: 3 } as const;
/** No search looks below this share of the original's cost. */
const SMALLEST_SEARCHED_SHARE = 0.01;

/** What a candidate must keep; what it loses of that, in words. */
interface LossBound {
  /** How far beyond the bound, as a share of it where it is a bound of what is lost; 0 or less holds. */
  computeExcess(loss: MeasuredLoss): number;
  /** What was measured. */
  describe(loss: MeasuredLoss): string;
  /** What is wanted of it. */
  readonly wanted: string;
}

/** Describes what a candidate loses, and for each bound that it breaks what was wanted. */
function describeLoss(bounds: readonly LossBound[], loss: MeasuredLoss): string {
  return bounds
    .map(
      ({ describe: text, computeExcess: excess, wanted }) =>
        `${text(loss)}${excess(loss) <= 0 ? '' : ` (${wanted} wanted)`}`,
    )
    .join(', ');
}

/** How far a candidate is beyond the bound that it keeps worst. */
const computeWorstExcess = (bounds: readonly LossBound[], loss: MeasuredLoss): number =>
  Math.max(...bounds.map(({ computeExcess: excess }) => excess(loss)));

/** Rounding of a percentage that is a ratio of two counts. */
const POINTS_TOLERANCE = 1e-9;

function expectTop1Drop({ top1Drop }: MeasuredLoss): number {
  if (top1Drop === undefined) throw new Error('unreachable: a goal of accuracy needs labels');
  return top1Drop;
}

function listLossBounds(goal: CompressionGoal, minMapSimilarity: number | undefined): LossBound[] {
  const bounds: LossBound[] = [];
  if (goal.kind === 'accuracyDrop') {
    bounds.push({
      computeExcess: (loss) => (expectTop1Drop(loss) - goal.most - POINTS_TOLERANCE) / Math.max(goal.most, 1),
      describe: (loss) => `${expectTop1Drop(loss).toFixed(2)} points of top-1 lost`,
      wanted: `at most ${goal.most}`,
    });
  }
  if (goal.kind === 'error') {
    bounds.push({
      computeExcess: ({ error }) => error / goal.most - 1,
      describe: ({ error }) => `an output error of ${formatPreciseShare(error)}`,
      wanted: `at most ${formatPreciseShare(goal.most)}`,
    });
  }
  if (minMapSimilarity !== undefined) {
    bounds.push({
      computeExcess: ({ maps }) =>
        (minMapSimilarity - (maps ? computeBoundedAgreement(maps) : 0)) / Math.max(1 - minMapSimilarity, 1e-3),
      describe: ({ maps }) => `maps that correlate at ${(maps ? computeBoundedAgreement(maps) : 0).toFixed(3)}`,
      wanted: `at least ${minMapSimilarity}`,
    });
  }
  return bounds;
}

function buildGoalTrial({ amount, result, holds }: SizeTrial<CompressionCandidate>, whole: number): GoalTrial {
  if (!result) return { parameters: amount, holds };
  const { accuracy, top1Drop, error, maps } = result.loss;
  const share = summarizeGraph(result.model.graph).parameters / whole;
  return {
    parameters: amount,
    share,
    holds,
    ...defined({ top1: accuracy?.top1, top1Drop }),
    error,
    ...(maps?.pearson ? { mapSimilarity: maps.pearson.mean } : {}),
  };
}

/** The smallest candidate that keeps its bounds, by bisection over a cost. */
async function searchSmallest(
  session: CompressionSession,
  cost: Cost,
  [below, above]: readonly [number, number],
  known: readonly number[],
  trialLimit: number,
  bounds: readonly LossBound[],
  context: RunContext,
) {
  return findSmallestHolding<CompressionCandidate>(
    below,
    above,
    known,
    trialLimit,
    async (amount) => {
      try {
        const candidate = await makeCandidateWithin(session, cost, amount);
        context.onNote?.(`${costTexts[cost].text(amount)}: ${describeLoss(bounds, candidate.loss)}`);
        return candidate;
      } catch (error) {
        if (error instanceof LimitUnreachable) return undefined;
        throw error;
      }
    },
    ({ loss }) => computeWorstExcess(bounds, loss),
  );
}

/** Tells budgets that were asked for of models made alike: a search may begin between them. */
function computeTriedKey({ key, plan, original }: CompressionSession): string {
  return computeCacheKey([key, JSON.stringify([plan.finetuneEpochs, getStorage(plan, original)])]);
}

/** A model as small as its bounds allow. */
async function reachLossGoal(
  session: CompressionSession,
  bounds: readonly LossBound[],
  context: RunContext,
): Promise<ReachedGoal> {
  const costed = toCostedModel(session);
  const whole = await measureCost(session.original.graph, 'params', costed);
  const simplified = await measureCost(session.simplified, 'params', costed);
  const range = [SMALLEST_SEARCHED_SHARE * whole, simplified] as const;
  const known = await readTriedAmounts(session.memory, computeTriedKey(session));
  const { best, trials } = await searchSmallest(session, 'params', range, known, TRIAL_LIMITS.search, bounds, context);
  const tried = trials.map((trial) => buildGoalTrial(trial, whole));
  if (best?.result) return { candidate: best.result, trials: tried };
  const dense = await makeDenseCandidate(session, 'every smaller form of the model lost more than the goal allows');
  const words = bounds.map(({ describe: text }) => text(dense.loss)).join(', ');
  const held = computeWorstExcess(bounds, dense.loss) <= 0;
  if (
    held &&
    (simplified < whole || getStorage(session.plan, session.original) !== (session.original.info.store ?? 'float32'))
  )
    return { candidate: dense, trials: tried };
  const nearest = [...trials]
    .reverse()
    .flatMap(({ amount, result }) =>
      result
        ? [
            `${formatPreciseShare(amount / whole)} of the parameters cost ${bounds.map(({ describe: text }) => text(result.loss)).join(', ')}`,
          ]
        : [],
    );
  throw new ShiboriError(
    `The goal cannot be met by a smaller model: ${nearest[0] ?? `even exact savings alone cost ${words}`}. Allow more, or recover more with \`finetune\`. Nothing was written.`,
    { code: 'unsupported-model' },
  );
}

/** A model within a limit of its cost. */
async function reachCostGoal(
  session: CompressionSession,
  goal: Extract<CompressionGoal, { kind: Cost }>,
  bounds: readonly LossBound[],
  context: RunContext,
): Promise<ReachedGoal> {
  const { option, text } = costTexts[goal.kind];
  const costed = toCostedModel(session);
  const { limit, whole } = await computeLimit(costed, goal);
  const simplified = await measureCost(session.simplified, goal.kind, costed);
  let candidate: CompressionCandidate;
  try {
    candidate =
      simplified <= limit
        ? await makeDenseCandidate(session, 'exact savings alone are within the budget')
        : await makeCandidateWithin(session, goal.kind, limit);
  } catch (error) {
    throw error instanceof LimitUnreachable
      ? createLimitError(goal.kind, { limit, whole }, session.refused, error)
      : error;
  }
  if (goal.kind === 'params') await writeTriedAmount(session.memory, computeTriedKey(session), limit);
  if (computeWorstExcess(bounds, candidate.loss) <= 0) return { candidate, trials: [] };
  const words = bounds.map((bound) => bound.describe(candidate.loss)).join(', ');
  const { best } = await searchSmallest(
    session,
    goal.kind,
    [limit, simplified],
    [],
    TRIAL_LIMITS.nearest,
    bounds,
    context,
  );
  const nearest = best
    ? `The nearest that holds is ${text(best.amount)} (${formatPreciseShare(best.amount / whole)})`
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
export async function reachGoal(session: CompressionSession): Promise<ReachedGoal> {
  const { plan, context } = session;
  const bounds = listLossBounds(plan.goal, plan.minMapSimilarity);
  return plan.goal.kind === 'accuracyDrop' || plan.goal.kind === 'error'
    ? reachLossGoal(session, bounds, context)
    : reachCostGoal(session, plan.goal, bounds, context);
}
