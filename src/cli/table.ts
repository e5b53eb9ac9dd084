/*
 * Tables for a terminal. One that is too wide loses its optional columns first; then texts are wrapped inside their
 * columns; and where even that is too wide each row becomes a block of lines.
 */
import { measureTextWidth } from './terminal/text-width.js';

type Cell = string | number;

/** How a table is made to fit. */
export interface TableOptions {
  /** Columns of the terminal. Default: those of standard output, none where it is no terminal: the table is printed whole. */
  readonly width?: number;
  /** Headers of the columns that may be left out, the first one first. */
  readonly optional?: readonly string[];
}

const GAP = 2;
/** Texts are wrapped to no less than this many characters. */
const NARROWEST = 10;
const DEFAULT_COLUMNS = 80;

/** The width of the terminal that standard output is; `undefined` where it is none. */
export function outputWidth(): number | undefined {
  return process.stdout.isTTY ? process.stdout.columns || DEFAULT_COLUMNS : undefined;
}

const sum = (widths: readonly number[]) => widths.reduce((all, width) => all + width + GAP, -GAP);
const pad = (text: string, width: number, right: boolean) => {
  const space = ' '.repeat(Math.max(0, width - measureTextWidth(text)));
  return right ? space + text : text + space;
};

/** Pieces of a text that may end a line: words, and parts of paths and lists. */
const splitCell = (text: string): string[] => text.split(/(?<=\s)|(?<=[/,.])(?![\d\s])/);

/** Breaks a text into lines of at most so many columns. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const piece of splitCell(text)) {
    let rest = piece;
    if (line !== '' && measureTextWidth((line + rest).trimEnd()) > width) {
      lines.push(line.trimEnd());
      line = '';
    }
    while (measureTextWidth(rest.trimEnd()) > width) {
      lines.push(rest.slice(0, width));
      rest = rest.slice(width);
    }
    line += rest;
  }
  return line.trim() === '' && lines.length > 0 ? lines : [...lines, line.trimEnd()];
}

/** Widths that fit, the widest texts narrowed first; `undefined` where numbers alone are too wide. */
function fittingWidths(natural: readonly number[], numeric: readonly boolean[], room: number): number[] | undefined {
  const widths = [...natural];
  for (let excess = sum(widths) - room; excess > 0; excess--) {
    const [widest = -1] = widths
      .flatMap((width, column) => (!numeric[column] && width > NARROWEST ? [column] : []))
      .sort((a, b) => (widths[b] ?? 0) - (widths[a] ?? 0));
    if (widest < 0) return undefined;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  return widths;
}

function stacked(header: readonly string[], rows: readonly (readonly string[])[], room: number): string {
  const names = Math.max(...header.map(measureTextWidth));
  const block = (row: readonly string[]) =>
    header.flatMap((name, column) => {
      const cell = row[column] ?? '';
      if (cell === '') return [];
      return wrap(cell, Math.max(NARROWEST, room - names - GAP)).map(
        (line, i) => `${pad(i === 0 ? name : '', names, false)}${' '.repeat(GAP)}${line}`,
      );
    });
  return rows.map((row) => block(row).join('\n')).join('\n\n');
}

/** Columns padded to equal width, made to fit the terminal; numbers go to the right. */
export function table(
  header: readonly string[],
  rows: readonly (readonly Cell[])[],
  { width = outputWidth() ?? Number.POSITIVE_INFINITY, optional = [] }: TableOptions = {},
): string {
  const whole = rows.map((row) => header.map((_, column) => String(row[column] ?? '')));
  const naturalOf = (columns: readonly number[]) =>
    columns.map((c) =>
      Math.max(measureTextWidth(header[c] ?? ''), ...whole.map((row) => measureTextWidth(row[c] ?? ''))),
    );
  let shown = header.map((_, column) => column);
  const dropped: string[] = [];
  for (const name of optional) {
    if (sum(naturalOf(shown)) <= width) break;
    if (!header.includes(name)) continue;
    shown = shown.filter((column) => header[column] !== name);
    dropped.push(name);
  }
  const left =
    dropped.length > 0 ? `\n${wrap(`Not shown at this width: ${dropped.join(', ')}.`, width).join('\n')}` : '';
  const cells = whole.map((row) => shown.map((column) => row[column] ?? ''));
  const names = shown.map((column) => header[column] ?? '');
  const numeric = shown.map((_, column) => cells.every((row) => /^[-–\d,.%× ]*$/.test(row[column] ?? '')));
  const widths = fittingWidths(naturalOf(shown), numeric, width);
  if (!widths) return `${stacked(names, cells, width)}${left}`;
  const lines = (row: readonly string[]) => {
    const wrapped = row.map((cell, column) => wrapCell(cell, widths[column] ?? 0));
    const height = Math.max(...wrapped.map(({ length }) => length));
    return Array.from({ length: height }, (_, i) =>
      wrapped
        .map((cell, column) => pad(cell[i] ?? '', widths[column] ?? 0, numeric[column] ?? false))
        .join(' '.repeat(GAP))
        .trimEnd(),
    );
  };
  const body = [...lines(names), '─'.repeat(sum(widths)), ...cells.flatMap(lines)];
  return `${body.join('\n')}${left}`;
}

/** A cell that fits stays as it is, with the spaces that indent it. */
const wrapCell = (cell: string, width: number) => (measureTextWidth(cell) <= width ? [cell] : wrap(cell, width));
