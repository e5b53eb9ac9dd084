/*
 * Tables for a terminal. One that is too wide loses its optional columns first; then texts are wrapped inside their
 * columns; and where even that is too wide each row becomes a block of lines.
 */
import { measureTextWidth } from './terminal/text-width.js';

type TableCell = string | number;

/** How a table is made to fit. */
export interface TableOptions {
  /** Columns of the terminal. Default: those of standard output, none where it is no terminal: the table is printed whole. */
  readonly width?: number;
  /** Headers of the columns that may be left out, the first one first. */
  readonly optional?: readonly string[];
}

const CELL_GAP = 2;
/** Texts are wrapped to no less than this many characters. */
const NARROWEST_CELL = 10;
const DEFAULT_COLUMNS = 80;

/** The width of the terminal that standard output is; `undefined` where it is none. */
export function getOutputWidth(): number | undefined {
  return process.stdout.isTTY ? process.stdout.columns || DEFAULT_COLUMNS : undefined;
}

const sumWidths = (widths: readonly number[]) => widths.reduce((all, width) => all + width + CELL_GAP, -CELL_GAP);
const padCell = (text: string, width: number, right: boolean) => {
  const space = ' '.repeat(Math.max(0, width - measureTextWidth(text)));
  return right ? space + text : text + space;
};

/** Pieces of a text that may end a line: words, and parts of paths and lists. */
const splitCell = (text: string): string[] => text.split(/(?<=\s)|(?<=[/,.])(?![\d\s])/);

/** Breaks a text into lines of at most so many columns. */
export function wrapText(text: string, width: number): string[] {
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
function fitWidths(natural: readonly number[], numeric: readonly boolean[], room: number): number[] | undefined {
  const widths = [...natural];
  for (let excess = sumWidths(widths) - room; excess > 0; excess--) {
    const [widest = -1] = widths
      .flatMap((width, column) => (!numeric[column] && width > NARROWEST_CELL ? [column] : []))
      .sort((a, b) => (widths[b] ?? 0) - (widths[a] ?? 0));
    if (widest < 0) return undefined;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  return widths;
}

function formatStacked(header: readonly string[], rows: readonly (readonly string[])[], room: number): string {
  const names = Math.max(...header.map(measureTextWidth));
  const formatBlock = (row: readonly string[]) =>
    header.flatMap((name, column) => {
      const cell = row[column] ?? '';
      if (cell === '') return [];
      return wrapText(cell, Math.max(NARROWEST_CELL, room - names - CELL_GAP)).map(
        (line, i) => `${padCell(i === 0 ? name : '', names, false)}${' '.repeat(CELL_GAP)}${line}`,
      );
    });
  return rows.map((row) => formatBlock(row).join('\n')).join('\n\n');
}

/** The minus of a number that stands alone in a cell: tables have one sign for it, U+2212. */
const MINUS = /^-(?=\d[\d,.]*(?: %)?$)/;

/** Columns padded to equal width, made to fit the terminal; numbers go to the right. */
export function formatTable(
  header: readonly string[],
  rows: readonly (readonly TableCell[])[],
  { width = getOutputWidth() ?? Number.POSITIVE_INFINITY, optional = [] }: TableOptions = {},
): string {
  const whole = rows.map((row) => header.map((_, column) => String(row[column] ?? '').replace(MINUS, '−')));
  const measureColumns = (columns: readonly number[]) =>
    columns.map((c) =>
      Math.max(measureTextWidth(header[c] ?? ''), ...whole.map((row) => measureTextWidth(row[c] ?? ''))),
    );
  let shown = header.map((_, column) => column);
  const dropped: string[] = [];
  for (const name of optional) {
    if (sumWidths(measureColumns(shown)) <= width) break;
    if (!header.includes(name)) continue;
    shown = shown.filter((column) => header[column] !== name);
    dropped.push(name);
  }
  const left =
    dropped.length > 0 ? `\n${wrapText(`Not shown at this width: ${dropped.join(', ')}.`, width).join('\n')}` : '';
  const cells = whole.map((row) => shown.map((column) => row[column] ?? ''));
  const names = shown.map((column) => header[column] ?? '');
  const numeric = shown.map((_, column) => cells.every((row) => /^[−–\d,.%× ]*$/.test(row[column] ?? '')));
  const widths = fitWidths(measureColumns(shown), numeric, width);
  if (!widths) return `${formatStacked(names, cells, width)}${left}`;
  const lines = (row: readonly string[]) => {
    const wrapped = row.map((cell, column) => wrapCell(cell, widths[column] ?? 0));
    const height = Math.max(...wrapped.map(({ length }) => length));
    return Array.from({ length: height }, (_, i) =>
      wrapped
        .map((cell, column) => padCell(cell[i] ?? '', widths[column] ?? 0, numeric[column] ?? false))
        .join(' '.repeat(CELL_GAP))
        .trimEnd(),
    );
  };
  const body = [...lines(names), '─'.repeat(sumWidths(widths)), ...cells.flatMap(lines)];
  return `${body.join('\n')}${left}`;
}

/** A cell that fits stays as it is, with the spaces that indent it. */
const wrapCell = (cell: string, width: number) => (measureTextWidth(cell) <= width ? [cell] : wrapText(cell, width));
