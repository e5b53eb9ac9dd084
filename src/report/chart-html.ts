/** Charts of a report: one SVG each, which takes the colours of the page or has its own, with its numbers as CSV. */
import { escapeHtml, toDataUrl } from './format.js';

/** A chart of a page. */
export interface Chart {
  readonly kind: 'chart';
  /** File name without extension, unique on the page. */
  readonly name: string;
  readonly title: string;
  /** What to know to read it: units, number of images. */
  readonly note: string;
  readonly svg: string;
  readonly csv: string;
}

/** The SVG of a chart as a file of its own: with its title, a white ground, and colours instead of variables. */
export function renderStandaloneSvg({ title, svg }: Chart): string {
  const open = svg.slice(0, svg.indexOf('>') + 1);
  const rest = svg.slice(open.length);
  const colours = (text: string) =>
    text.replace(/var\(--[\w-]+, (#[0-9a-f]+)\)/g, '$1').replaceAll('currentColor', '#1b2430');
  const own = open.includes('xmlns=') ? open : open.replace('<svg ', '<svg xmlns="http://www.w3.org/2000/svg" ');
  return `<?xml version="1.0" encoding="UTF-8"?>\n${colours(own)}<title>${escapeHtml(title)}</title><rect width="100%" height="100%" fill="#ffffff"></rect>${colours(rest)}\n`;
}

/** Links to the numbers and the drawing of a chart. They are in the page, so that it can be sent around alone. */
function renderFileLinks(chart: Chart): string {
  const link = (extension: string, content: string, type: string) =>
    `<a download="${escapeHtml(chart.name)}.${extension}" href="${toDataUrl(content, type)}" aria-label="${escapeHtml(`${chart.title} as ${extension.toUpperCase()}`)}">${extension.toUpperCase()}</a>`;
  const svg = link('svg', renderStandaloneSvg(chart), 'image/svg+xml');
  return `<p class="files">${link('csv', chart.csv, 'text/csv;charset=utf-8')}${svg}</p>`;
}

/** Writes a chart as HTML. */
export function renderChart(chart: Chart): string {
  const note = chart.note === '' ? '' : ` <span class="quiet">${escapeHtml(chart.note)}</span>`;
  return `<figure class="chart"><figcaption><strong>${escapeHtml(chart.title)}</strong>${note}</figcaption>${chart.svg}${renderFileLinks(chart)}</figure>`;
}
