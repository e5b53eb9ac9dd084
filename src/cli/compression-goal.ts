/** Parses what a compression has to reach, as people write it. */

import { type SchemeName, schemeNames } from '../compression/schemes/decomposition-scheme.js';
import type { Goal, SweepLimits } from '../compression-run/compression-plan.js';
import { formatSuggestion, UsageError } from '../errors.js';

/** Holds the values of the goal options as they are written: `10%`, `2.8M`, `4MB`. */
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

/** Splits a text into its number and what follows it. */
function splitUnit(text: string): readonly [number, string] | undefined {
  const [, digits = '', unit = ''] = /^\s*([\d_,]*\.?\d+(?:e[+-]?\d+)?)\s*([a-z%]*)\s*$/i.exec(text) ?? [];
  const number = Number(digits.replace(/[_,]/g, ''));
  return digits !== '' && Number.isFinite(number) ? [number, unit.toLowerCase()] : undefined;
}

/** Parses an amount: a share below 1, or a whole number of at least 2. */
function parseAmount(flag: string, text: string, units: Readonly<Record<string, number>>, example: string): number {
  const parts = splitUnit(text);
  const fail = (why: string) => new UsageError(`${flag} ${text}: ${why}. Give ${example}.`);
  if (!parts) throw fail('this is no amount');
  const [number, unit] = parts;
  if (unit === '%') {
    if (number > 0 && number < 100) return number / 100;
    throw fail('a share lies between 0 % and 100 %');
  }
  const factor = units[unit];
  if (factor === undefined) throw fail(unit === '' ? 'it needs a unit' : `"${unit}" is no unit of this`);
  if (number * factor >= 2) return Math.floor(number * factor);
  throw fail('it must be at least 2');
}

const parseParameters = (text: string) => parseAmount('--params', text, COUNT_UNITS, 'a share or a count: 10%, 2.8M');
const parseSize = (text: string) => parseAmount('--size', text, BYTE_UNITS, 'a share or bytes: 25%, 4MB, 900kB');
const parseMacs = (text: string) => parseAmount('--macs', text, COUNT_UNITS, 'a share or a count: 40%, 1.2G');

/** Parses an error: `1%` and `0.01` are the same. */
function parseErrorShare(text: string): number {
  const parts = splitUnit(text);
  const value = parts && (parts[1] === '%' ? parts[0] / 100 : parts[1] === '' ? parts[0] : Number.NaN);
  if (value !== undefined && value > 0 && value < 1) return value;
  throw new UsageError(`--max-error ${text}: expected a share above 0 and below 1, such as 1% or 0.01.`);
}

function parsePoints(text: string): number {
  const parts = splitUnit(text);
  if (parts && ['', '%', 'pp'].includes(parts[1]) && parts[0] < 100) return parts[0];
  throw new UsageError(`--max-accuracy-drop ${text}: expected points of top-1 from 0 on and below 100, such as 0.5.`);
}

const goalParsers: { readonly [Key in keyof Required<GoalTexts>]: (text: string) => Goal } = {
  params: (text) => ({ parameters: parseParameters(text) }),
  size: (text) => ({ size: parseSize(text) }),
  macs: (text) => ({ macs: parseMacs(text) }),
  maxAccuracyDrop: (text) => ({ accuracyDrop: parsePoints(text) }),
  maxError: (text) => ({ error: parseErrorShare(text) }),
};

const goalNames = Object.keys(goalParsers) as (keyof GoalTexts)[];

/** Writes an option as a flag: `--max-error` for `maxError`. */
export const toFlag = (name: string): string => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/**
 * Parses the goal that is given.
 *
 * @throws UsageError when there is none, more than one, or one that cannot be read.
 */
export function parseGoal(texts: GoalTexts): Goal {
  const given = goalNames.flatMap((name) => {
    const text = texts[name];
    return text === undefined ? [] : [{ name, text }];
  });
  const [first, second] = given;
  if (first && !second) return goalParsers[first.name](first.text);
  const all = goalNames.map(toFlag).join(', ');
  throw new UsageError(
    second
      ? `${given.map(({ name }) => toFlag(name)).join(' and ')}: compress takes exactly one goal of ${all}.`
      : `compress needs a goal: exactly one of ${all}.`,
  );
}

/** Holds the limits of a sweep as they are written. */
export interface LimitTexts {
  readonly params?: readonly string[];
  readonly size?: readonly string[];
  readonly macs?: readonly string[];
}

/**
 * Parses the limits of a sweep; `undefined` where none is given.
 *
 * @throws UsageError when there are several kinds, or an amount cannot be read.
 */
export function parseSweepLimits({ params, size, macs }: LimitTexts): SweepLimits | undefined {
  const [first, second] = Object.entries({ params, size, macs }).filter(([, texts]) => texts !== undefined);
  if (first && second) {
    throw new UsageError(`${toFlag(first[0])} and ${toFlag(second[0])}: a sweep goes through sizes of one kind.`);
  }
  if (params) return { parameters: params.map(parseParameters) };
  if (size) return { size: size.map(parseSize) };
  return macs && { macs: macs.map(parseMacs) };
}

/** Parses names of schemes. Throws a UsageError for a name that does not exist. */
export function parseSchemes(names: readonly string[]): SchemeName[] {
  if (names.length === 0) throw new UsageError(`--schemes: give at least one of ${schemeNames.join(', ')}.`);
  return names.map((name) => {
    const found = schemeNames.find((each) => each === name);
    if (found) return found;
    throw new UsageError(
      `There is no scheme "${name}".${formatSuggestion(name, schemeNames)} There are ${schemeNames.join(', ')}.`,
    );
  });
}
