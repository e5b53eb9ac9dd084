/** How reports write numbers and text. */

/** `27,927,560` */
export const formatInteger = (value: number): string => Math.round(value).toLocaleString('en-US');

/** `40.10 %` of a number that is in percent already. */
export const formatPercent = (value: number, digits = 2): string => `${value.toFixed(digits)} %`;

/** `+0.50`, `−0.50` */
export const formatSigned = (value: number, digits: number): string =>
  `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(digits)}`;

/** `0.973`, `−0.140` */
export const formatDecimal = (value: number, digits = 3): string => value.toFixed(digits).replace('-', '−');

/** `1.09 MB` (millions of bytes). */
export const formatMegabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(2)} MB`;

/** `1 image`, `2 images`. */
export const formatCount = (count: number, noun: string): string =>
  `${formatInteger(count)} ${noun}${count === 1 ? '' : 's'}`;

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

/** Escapes text for HTML, also inside of attributes. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"]/g, (character) => ENTITIES[character] ?? character);
}

/** Turns bytes or text into an address that needs no file of its own. */
export function toDataUrl(content: Uint8Array | string, type: string): string {
  const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
  let binary = '';
  for (let start = 0; start < bytes.length; start += 0x8000)
    binary += String.fromCharCode(...bytes.subarray(start, start + 0x8000));
  return `data:${type};base64,${btoa(binary)}`;
}

/** One cell of a CSV file. */
export type CsvCell = string | number | undefined;

/**
 * Writes rows as CSV (RFC 4180). Text that a spreadsheet would run as a formula gets an apostrophe in front: file names
 * of a data set are not to be trusted.
 */
export function writeCsv(header: readonly string[], rows: readonly (readonly CsvCell[])[]): string {
  const write = (cell: CsvCell): string => {
    if (cell === undefined) return '';
    if (typeof cell === 'number') return Number.isFinite(cell) ? String(cell) : '';
    const text = /^[=+@\t\r]|^-(?![\d.])/.test(cell) ? `'${cell}` : cell;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [header, ...rows].map((row) => `${row.map(write).join(',')}\r\n`).join('');
}

/** Escapes a sentence for HTML; numbers are not parted from their units at the end of a line. */
export function toProseHtml(text: string): string {
  return escapeHtml(text).replace(/(\d) (?=%|MB\b|ms\b|points\b)/g, '$1\u00a0');
}
