/** Tables of a report: they scroll inside their own box where the page is too narrow, and wrap on paper. */
import { type CsvCell, escapeHtml, toDataUrl, toProseHtml, writeCsv } from './format.js';
import { TABLE_WIDTHS } from './style.js';

/** A table of a page. */
export interface Table {
  readonly kind: 'table';
  /** File name without extension, unique on the page. */
  readonly name: string;
  /** What it shows, with its units. */
  readonly title: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
  readonly notes: readonly string[];
  readonly csv: string;
}

/** What a table is made of. */
export interface TableContent extends Pick<Table, 'name' | 'title' | 'header' | 'rows'> {
  readonly notes?: readonly string[];
  /** Rows of the CSV file. Default: those that are shown. */
  readonly data?: { readonly header: readonly string[]; readonly rows: readonly (readonly CsvCell[])[] };
}

/** Makes a table. */
export function makeTable({ data, notes = [], ...content }: TableContent): Table {
  const { header, rows } = data ?? content;
  return { kind: 'table', ...content, notes, csv: writeCsv(header, rows) };
}

/** Pixels of a character of the body of a table, and what a cell takes besides its text. */
const CHARACTER = 7.4;
const PADDING = 14.5;
/** Characters up to which a word is not broken: longer ones are paths. */
const LONGEST_WORD = 18;
/** Columns from which a table is set smaller on paper. */
const MANY_COLUMNS = 8;

const isNumber = (cell: string) => /^$|^–$|^[−+-]?\d[^✓]*$/.test(cell);
const measureLongestWord = (cells: readonly string[]) =>
  Math.max(0, ...cells.flatMap((cell) => cell.split(/[\s/-]/).map(({ length }) => length)));

/** How a column is set: numbers to the right and never wrapped, text wrapped between words, paths wrapped anywhere. */
interface Column {
  readonly className: 'n' | 't' | 'p';
  /** Pixels that it takes at least. */
  readonly width: number;
}

function layOutColumns({ header, rows }: Table): Column[] {
  return header.map((title, column) => {
    const cells = rows.map((row) => row[column] ?? '');
    const longest = Math.max(0, ...cells.map(({ length }) => length));
    const heading = Math.min(measureLongestWord([title]), LONGEST_WORD);
    const pixels = (characters: number) => CHARACTER * Math.max(characters, heading) + PADDING;
    // The first column is the name of its row.
    if (column > 0 && cells.every(isNumber)) {
      return { className: 'n', width: pixels(longest) };
    }
    const word = measureLongestWord(cells);
    return word > LONGEST_WORD
      ? { className: 'p', width: pixels(LONGEST_WORD) }
      : { className: 't', width: pixels(Math.max(word, Math.min(LONGEST_WORD, longest))) };
  });
}

/**
 * Writes a table as HTML.
 *
 * @param isTitled whether its title is shown above it; it is always there for screen readers.
 */
export function renderTable(table: Table, isTitled: boolean): string {
  const { name, title, header, rows, notes } = table;
  const columns = layOutColumns(table);
  const needed = columns.reduce((sum, { width }) => sum + width, 0);
  const width = TABLE_WIDTHS.find((limit) => limit >= needed) ?? TABLE_WIDTHS.at(-1) ?? needed;
  const open = (tag: string, k: number) => `<${tag} class="${columns[k]?.className ?? 't'}"`;
  const head = header.map((cell, k) => `${open('th', k)} scope="col">${escapeHtml(cell)}</th>`);
  const body = rows.map((row) => {
    const cells = row.map((cell, k) =>
      k === 0 ? `${open('th', k)} scope="row">${toProseHtml(cell)}</th>` : `${open('td', k)}>${toProseHtml(cell)}</td>`,
    );
    return `<tr>${cells.join('')}</tr>`;
  });
  const many = header.length >= MANY_COLUMNS ? ' class="many"' : '';
  const link = `<a download="${escapeHtml(name)}.csv" href="${toDataUrl(table.csv, 'text/csv;charset=utf-8')}" aria-label="${escapeHtml(`${title} as CSV`)}">CSV</a>`;
  return [
    '<div class="table">',
    isTitled ? `<p class="title">${escapeHtml(title)}</p>` : '',
    `<p class="hint w${width}" aria-hidden="true">Scroll the table sideways for all columns →</p>`,
    `<div class="scroll" tabindex="0" role="region" aria-label="${escapeHtml(`${title} (scrolls sideways)`)}">`,
    `<table${many} style="min-width:${width}px" id="${escapeHtml(name)}" aria-label="${escapeHtml(title)}">`,
    `<thead><tr>${head.join('')}</tr></thead><tbody>${body.join('\n')}</tbody></table></div>`,
    ...notes.map((note) => `<p class="note">${escapeHtml(note)}</p>`),
    `<p class="files">${link}</p></div>`,
  ].join('\n');
}
