/** What `compress` is to reach, as a person says it and as numbers. */

import { type SchemeName, schemeNames } from '../compression/schemes/decomposition-scheme.js';
import { formatSuggestion, UsageError } from '../errors.js';
import type { StorageType } from '../passes/store-weights.js';

/** How much may be left: so many, or a share (0…1) of what the model has. */
export type Amount = { readonly amount: number } | { readonly share: number };

/** What can be counted of a model. */
export type CostKind = 'params' | 'size' | 'macs';

/** What a squeezed model may cost, or what it may lose. */
export type CompressionGoal =
  | { readonly kind: CostKind; readonly most: Amount }
  /** Points of top-1 on the validation images. */
  | { readonly kind: 'accuracyDrop'; readonly most: number }
  /** Relative error of the outputs, see `squeeze-measure.ts`. */
  | { readonly kind: 'error'; readonly most: number };

/** Everything that `compress` is told beside model and images. */
export interface CompressionPlan {
  readonly goal: CompressionGoal;
  /** Layers to squeeze, patterns of module paths. Default: all. */
  readonly layers?: readonly string[];
  /** Default: svd, tucker2 and tt-conv. */
  readonly schemes?: readonly SchemeName[];
  /** Calibration images. Default: 2000, for linear layers alone 5000, fewer where they would take more than 256 MB. */
  readonly calibrationImages?: number;
  /** Least mean correlation of Grad-CAM maps with the original's, and on how many images maps are compared. Default: none, 64. */
  readonly minMapSimilarity?: number;
  readonly mapImages?: number;
  /** Ways of sharing the budget among layers that are tried and measured on the whole network. Default: 1, unmeasured. */
  readonly rounds?: number;
  /** Epochs of training on the images that are not held out. Default: 0. */
  readonly finetuneEpochs?: number;
  /** Puts the dense original through the same training, to compare with. Default: false. */
  readonly control?: boolean;
  /** A plan file of hand-chosen ranks, to compare with. */
  readonly baselinePlan?: string;
  /** How weights are stored. Default: `float32`. */
  readonly store?: StorageType;
  /** Takes a model that runs slower than the original. Default: false. */
  readonly allowSlower?: boolean;
  /** Decides the images held out, calibration images and training. Default: 42. */
  readonly seed?: number;
}

/** Numbers of the goals as they are written: `10%`, `2.8M`, `4MB`. */
export interface GoalTexts {
  readonly params?: string;
  readonly size?: string;
  readonly macs?: string;
  readonly maxAccuracyDrop?: string;
  readonly maxError?: string;
}

const COUNT_UNITS: Readonly<Record<string, number>> = { '': 1, k: 1e3, m: 1e6, g: 1e9 };
const BYTE_UNITS: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
};

/** The number and what stands behind it. */
function splitUnit(text: string): readonly [number, string] | undefined {
  const [, digits = '', unit = ''] = /^\s*([\d_,]*\.?\d+(?:e[+-]?\d+)?)\s*([a-z%]*)\s*$/i.exec(text) ?? [];
  const number = Number(digits.replace(/[_,]/g, ''));
  return digits !== '' && Number.isFinite(number) ? [number, unit.toLowerCase()] : undefined;
}

function parseAmount(option: string, text: string, units: Readonly<Record<string, number>>, example: string): Amount {
  const parts = splitUnit(text);
  const fail = (why: string) => new UsageError(`\`${option}: ${text}\`: ${why}. Give ${example}.`, { option });
  if (!parts) throw fail('this is no amount');
  const [number, unit] = parts;
  if (unit === '%') {
    if (number > 0 && number < 100) return { share: number / 100 };
    throw fail('a share lies between 0 % and 100 %');
  }
  const factor = units[unit];
  if (factor === undefined) throw fail(unit === '' ? 'it needs a unit' : `"${unit}" is no unit of this`);
  if (number * factor >= 1) return { amount: Math.floor(number * factor) };
  throw fail('it must be at least 1');
}

/** `1%` and `0.01` are the same error. */
function parseErrorShare(option: string, text: string): number {
  const parts = splitUnit(text);
  const value = parts && (parts[1] === '%' ? parts[0] / 100 : parts[1] === '' ? parts[0] : Number.NaN);
  if (value !== undefined && value > 0 && value < 1) return value;
  throw new UsageError(`\`${option}: ${text}\`: expected a share above 0 and below 1, such as 1% or 0.01.`, { option });
}

function parsePoints(option: string, text: string): number {
  const parts = splitUnit(text);
  if (parts && ['', '%', 'pp'].includes(parts[1]) && parts[0] < 100) return parts[0];
  throw new UsageError(`\`${option}: ${text}\`: expected points of top-1 from 0 on and below 100, such as 0.5.`, {
    option,
  });
}

const goalParsers: { readonly [Key in keyof Required<GoalTexts>]: (text: string) => CompressionGoal } = {
  params: (text) => ({
    kind: 'params',
    most: parseAmount('parameters', text, COUNT_UNITS, 'a share or a count: 10%, 2.8M'),
  }),
  size: (text) => ({
    kind: 'size',
    most: parseAmount('size', text, BYTE_UNITS, 'a share or bytes: 25%, 4MB, 900kB'),
  }),
  macs: (text) => ({ kind: 'macs', most: parseAmount('macs', text, COUNT_UNITS, 'a share or a count: 40%, 1.2G') }),
  maxAccuracyDrop: (text) => ({ kind: 'accuracyDrop', most: parsePoints('maxAccuracyDrop', text) }),
  maxError: (text) => ({ kind: 'error', most: parseErrorShare('maxError', text) }),
};

const goalNames = Object.keys(goalParsers) as (keyof GoalTexts)[];

/**
 * The goal that was given.
 *
 * @throws UsageError when there is none, more than one, or one that cannot be read.
 */
export function parseGoal(texts: GoalTexts): CompressionGoal {
  const given = goalNames.flatMap((name) => {
    const text = texts[name];
    return text === undefined ? [] : [{ name, text }];
  });
  const [first, second] = given;
  const option = (name: string) => `\`${name === 'params' ? 'parameters' : name}\``;
  if (!first || second) {
    const all = goalNames.map(option).join(', ');
    throw new UsageError(
      second
        ? `${given.map(({ name }) => option(name)).join(' and ')}: compress takes exactly one goal of ${all}.`
        : `compress needs a goal: exactly one of ${all}.`,
    );
  }
  return goalParsers[first.name](first.text);
}

/** Sizes of a sweep as they are written. */
export interface AmountTexts {
  readonly params?: readonly string[];
  readonly size?: readonly string[];
  readonly macs?: readonly string[];
}

/**
 * What a sweep goes through: sizes of one kind.
 *
 * @throws UsageError when there are several kinds, or an amount cannot be read.
 */
export function parseSweepAmounts(texts: AmountTexts): {
  readonly cost: CostKind;
  readonly amounts?: readonly Amount[];
} {
  const kinds = (['params', 'size', 'macs'] as const).filter((kind) => texts[kind] !== undefined);
  const [kind = 'params', second] = kinds;
  const option = (name: string) => `\`${name === 'params' ? 'parameters' : name}\``;
  if (second) throw new UsageError(`${option(kind)} and ${option(second)}: a sweep goes through sizes of one kind.`);
  const amounts = texts[kind]?.flatMap((text) => {
    const goal = goalParsers[kind](text);
    return goal.kind === 'accuracyDrop' || goal.kind === 'error' ? [] : [goal.most];
  });
  return amounts ? { cost: kind, amounts } : { cost: kind };
}

/** The schemes with these names. Throws a UsageError for one that there is not. */
export function parseSchemes(names: readonly string[]): SchemeName[] {
  if (names.length === 0)
    throw new UsageError(`\`schemes\`: give at least one of ${schemeNames.join(', ')}.`, { option: 'schemes' });
  return names.map((name) => {
    const found = schemeNames.find((each) => each === name);
    if (found) return found;
    throw new UsageError(
      `There is no scheme "${name}".${formatSuggestion(name, schemeNames)} There are ${schemeNames.join(', ')}.`,
    );
  });
}

/** What an amount comes to. */
export function resolveAmount(amount: Amount, whole: number): number {
  return 'share' in amount ? Math.floor(amount.share * whole) : amount.amount;
}
