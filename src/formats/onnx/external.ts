import type { ShiboriError } from '../../errors.js';
import type { StringEntryProto } from './proto.js';

/**
 * Reads bytes of a file next to the model. `location` is a relative path without `..`, `/`-separated; the
 * reader must still make sure that linked folders do not lead out of that folder. Returns `length` bytes from `offset`.
 */
export type ExternalReader = (location: string, offset: number, length: number) => Uint8Array;

/** Where a tensor's elements are. */
export interface ExternalLocation {
  readonly location: string;
  readonly offset: number;
  /** In bytes; `undefined` when the file leaves it to the dimensions. */
  readonly length: number | undefined;
}

/** Why a location is not acceptable, or `undefined` when it is: it must stay inside the model's folder. */
export function findLocationProblem(location: string): string | undefined {
  if (location === '') return 'is empty';
  if (/^[/\\]|^[A-Za-z]:/.test(location)) return 'is absolute';
  if (location.split(/[/\\]/).includes('..')) return 'leads out of the folder';
  if (location.includes('\0')) return 'holds a zero character';
  return undefined;
}

function parseCount(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const count = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(count) ? count : Number.NaN;
}

/** Reads `TensorProto.external_data`. `fail` makes the error. */
export function parseExternalData(
  entries: readonly StringEntryProto[],
  fail: (problem: string) => ShiboriError,
): ExternalLocation {
  const fields = new Map(entries.map(({ key, value }) => [key ?? '', value ?? '']));
  const location = fields.get('location') ?? '';
  const problem = findLocationProblem(location);
  if (problem) {
    throw fail(
      `the path of its external data, "${location}", ${problem}. Only files in the model's own folder are read.`,
    );
  }
  const offset = parseCount(fields.get('offset')) ?? 0;
  const length = parseCount(fields.get('length'));
  if (Number.isNaN(offset) || Number.isNaN(length)) {
    throw fail(`its external data claim offset "${fields.get('offset')}" and length "${fields.get('length')}".`);
  }
  return { location: location.replaceAll('\\', '/'), offset, length };
}

/** The entries that `parseExternalData` reads. */
export function encodeExternalData({ location, offset, length }: ExternalLocation): StringEntryProto[] {
  const entries = [
    { key: 'location', value: location },
    { key: 'offset', value: String(offset) },
  ];
  return length === undefined ? entries : [...entries, { key: 'length', value: String(length) }];
}
