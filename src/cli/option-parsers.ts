/** Parsers of option values. Each throws InvalidArgumentError, which commander reports with the name of the option. */
import { InvalidArgumentError } from 'commander';
import type { DataOptions } from '../images/open-dataset.js';

/** Parses `112,224`. */
export function parsePositiveIntegers(text: string): number[] {
  const values = text.split(/[,x×]/).map((part) => Number(part.trim()));
  if (values.every((value) => Number.isInteger(value) && value > 0)) return values;
  throw new InvalidArgumentError('Expected positive integers divided by commas, such as 112,224.');
}

/** Parses a positive integer. */
export function parsePositiveInteger(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new InvalidArgumentError('Expected a positive integer.');
}

/** Parses an integer of 0 or more. */
export function parseNonNegativeInteger(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isInteger(value) && value >= 0) return value;
  throw new InvalidArgumentError('Expected 0 or a positive integer.');
}

/** Parses a positive number. */
export function parsePositiveNumber(text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new InvalidArgumentError('Expected a positive number.');
}

/** Parses `classifier.*,features.28.*`. */
export function parsePatterns(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean);
}

/** Parses `0.95,0.05:42:1`: fractions, seed and part (default: the last). */
export function parseRandomSplit(text: string): NonNullable<DataOptions['randomSplit']> {
  const [list = '', seed = '42', part] = text.split(':');
  const fractions = list.split(',').map(Number);
  const chosen = part === undefined ? fractions.length - 1 : Number(part);
  const good = fractions.every((fraction) => fraction > 0) && Number.isInteger(Number(seed)) && chosen in fractions;
  if (good) return { fractions, seed: Number(seed), part: chosen };
  throw new InvalidArgumentError('Expected FRACTIONS:SEED[:PART], such as 0.95,0.05:42:1.');
}

/** A name from a table with its own options, as a plan has it. */
export type NamedChoice = string | { readonly name: string; readonly [option: string]: unknown };

/** Parses one option of a named choice: a number, a list of numbers divided by `/`, true or false, or a word. */
function parseOptionValue(text: string): unknown {
  if (text === 'true' || text === 'false') return text === 'true';
  const numbers = text.split('/').map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
  if (!numbers.every(Number.isFinite)) return text;
  return numbers.length === 1 ? numbers[0] : numbers;
}

/** Parses `cosine`, `step:stepSize=100,gamma=0.5` or `multi-step:milestones=100/200`. */
export function parseNamedChoice(text: string): NamedChoice {
  const [name = '', list] = text.split(/:(.*)/s);
  if (list === undefined) return name;
  const entries = list.split(',').map((part): [string, unknown] => {
    const [key = '', value] = part.split(/=(.*)/s);
    if (key === '' || value === undefined) {
      throw new InvalidArgumentError('Expected NAME or NAME:OPTION=VALUE,…, such as step:stepSize=100,gamma=0.5.');
    }
    return [key.trim(), parseOptionValue(value)];
  });
  return { ...Object.fromEntries(entries), name };
}
