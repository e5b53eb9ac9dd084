/** What a compression has to reach, and how it goes about it. */

import type { SchemeName } from '../compression/schemes/decomposition-scheme.js';
import { UsageError } from '../errors.js';
import type { StorageType } from '../passes/store-weights.js';

/** Limits what may remain: a number, or a share (0…1) of what the original has. */
export type Amount = { readonly amount: number } | { readonly share: number };

/** Names what can be counted of a model. */
export type CostKind = 'params' | 'size' | 'macs';

/** Describes what a compressed model may cost, or what it may lose. */
export type CompressionGoal =
  | { readonly kind: CostKind; readonly most: Amount }
  /** Points of top-1 on the validation images. */
  | { readonly kind: 'accuracyDrop'; readonly most: number }
  /** Relative error of the outputs, see `measured-loss.ts`. */
  | { readonly kind: 'error'; readonly most: number };

/**
 * States the goal of a compression, exactly one of:
 *
 * - `parameters`, `size` (bytes of the ONNX file), `macs` (of one image): a number up to 1 is a share of the original, a
 *   larger whole number an amount.
 * - `accuracyDrop`: points of top-1 accuracy that may be lost on the validation images.
 * - `error`: relative error (0…1) of the outputs; without images, of each weight.
 */
export type Goal =
  | { readonly parameters: number }
  | { readonly size: number }
  | { readonly macs: number }
  | { readonly accuracyDrop: number }
  | { readonly error: number };

/** Lists how a model is compressed, whatever its goal. */
export interface CompressionSettings {
  /** Layers to compress, patterns of module paths. Default: all. */
  readonly layers?: readonly string[];
  /** Default: svd, tucker2 and tt-conv. */
  readonly schemes?: readonly SchemeName[];
  /** Calibration images. Default: 2000, for linear layers alone 5000, fewer where they would take more than 256 MB. */
  readonly calibrationImages?: number;
  /** Least mean correlation (0…1) of Grad-CAM maps with the original's. Default: none. */
  readonly minMapSimilarity?: number;
  /** Images on which maps are compared. Default: 64. */
  readonly mapImages?: number;
  /** Ways of sharing the budget among layers that are fitted and measured on the whole network. Default: 1, unmeasured. */
  readonly rounds?: number;
  /** Epochs of training on the images that are not for validation. Default: 0. */
  readonly finetuneEpochs?: number;
  /** Puts the dense original through the same training, to compare with. Default: false. */
  readonly control?: boolean;
  /** A YAML plan of given ranks, to compare with. */
  readonly baselinePlan?: string;
  /** How weights are stored. Default: as in the original's file. */
  readonly store?: StorageType;
  /** Accepts a model that runs slower than the original. Default: false. */
  readonly allowSlower?: boolean;
  /** Decides validation images that are split off, calibration images and training. Default: 42. */
  readonly seed?: number;
}

/** Describes a compression: its goal, and how it is reached. */
export interface CompressionPlan extends CompressionSettings {
  readonly goal: CompressionGoal;
}

/** Resolves an amount against what the original has, rounded down. */
export function resolveAmount(amount: Amount, whole: number): number {
  return 'share' in amount ? Math.floor(amount.share * whole) : amount.amount;
}

/** Reads a limit: a share up to 1, or a whole number above. */
function toAmount(option: string, limit: number): Amount {
  if (limit > 0 && limit <= 1) return { share: limit };
  if (limit > 1 && Number.isSafeInteger(limit)) return { amount: limit };
  throw new UsageError(
    `\`${option}: ${limit}\`: expected a share of the original above 0 and up to 1, or a larger whole number.`,
    { option },
  );
}

function toPoints(points: number): number {
  if (points >= 0 && points < 100) return points;
  throw new UsageError(`\`accuracyDrop: ${points}\`: expected points of top-1 from 0 on and below 100.`, {
    option: 'accuracyDrop',
  });
}

function toErrorShare(share: number): number {
  if (share > 0 && share < 1) return share;
  throw new UsageError(`\`error: ${share}\`: expected a share above 0 and below 1.`, { option: 'error' });
}

const goalReaders: Readonly<Record<string, (value: number) => CompressionGoal>> = {
  parameters: (limit) => ({ kind: 'params', most: toAmount('parameters', limit) }),
  size: (limit) => ({ kind: 'size', most: toAmount('size', limit) }),
  macs: (limit) => ({ kind: 'macs', most: toAmount('macs', limit) }),
  accuracyDrop: (points) => ({ kind: 'accuracyDrop', most: toPoints(points) }),
  error: (share) => ({ kind: 'error', most: toErrorShare(share) }),
};

/**
 * Checks a goal and tells shares from amounts.
 *
 * @throws UsageError when there is no goal, more than one, or a value that it cannot have.
 */
export function resolveGoal(goal: Goal): CompressionGoal {
  const given = Object.entries(goal).filter(([, value]) => value !== undefined);
  const [first] = given;
  const read = first && goalReaders[first[0]];
  if (given.length === 1 && first && read) return read(first[1]);
  throw new UsageError(
    `\`goal\`: expected exactly one of ${Object.keys(goalReaders).join(', ')}, found ${given.map(([name]) => name).join(', ') || 'none'}.`,
    { option: 'goal' },
  );
}

/** Lists the limits of a sweep, all of one kind; numbers as those of a {@link Goal}. */
export type SweepLimits =
  | { readonly parameters: readonly number[] }
  | { readonly size: readonly number[] }
  | { readonly macs: readonly number[] };

/** Describes a goal that limits a cost. */
export type LimitGoal = Extract<CompressionGoal, { kind: CostKind }>;

/**
 * Checks the limits of a sweep.
 *
 * @throws UsageError when there are none, those of two kinds, or a value that a limit cannot have.
 */
export function resolveSweepLimits(limits: SweepLimits): LimitGoal[] {
  const given = Object.entries(limits).filter(([, values]) => values !== undefined);
  const [kind, values]: readonly [string, readonly number[]] = given[0] ?? ['', []];
  const goals = values.flatMap((value) => {
    const goal = goalReaders[kind]?.(value);
    return !goal || goal.kind === 'accuracyDrop' || goal.kind === 'error' ? [] : [goal];
  });
  if (given.length === 1 && goals.length > 0) return goals;
  throw new UsageError(
    '`limits`: expected at least one number of exactly one of parameters, size and macs, such as { parameters: [0.1, 0.2] }.',
    { option: 'limits' },
  );
}
