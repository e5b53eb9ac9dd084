/** Charts of a report: one SVG each, which takes the colours of the page or has its own, with its numbers as CSV. */
import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import { type Cell, dataUrl, escapeHtml, writeCsv } from './format.js';

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

/** An entry of a chart's legend. */
export interface LegendEntry {
  readonly label: string;
  readonly color: string;
  readonly dashed?: boolean;
}

/** What a chart is made of. */
export interface ChartContent extends Pick<Chart, 'name' | 'title' | 'note'> {
  /** What the chart shows, for those who cannot see it. Default: title and note. */
  readonly description?: string;
  readonly legend?: readonly LegendEntry[];
  readonly plot: Plot.PlotOptions;
  /** The numbers behind it. */
  readonly data: { readonly header: readonly string[]; readonly rows: readonly (readonly Cell[])[] };
}

const WIDTH = 440;
const FONT = 12;
/** Pixels of a character of a legend, of its swatch, and of one line. */
const LEGEND = { character: 6.6, swatch: 31, line: 18 };
/** Height of the label of the y axis, which is above the legend, and the gap between the legend and the plot. */
const LABEL = 20;
const GAP = 8;

/** Puts entries side by side, as many on a line as fit. */
function layLegend(entries: readonly LegendEntry[], width: number, top: number) {
  let [x, line] = [0, 0];
  const placed = entries.map((entry) => {
    const own = LEGEND.swatch + LEGEND.character * entry.label.length;
    if (x > 0 && x + own > width) [x, line] = [0, line + 1];
    const at = { ...entry, x, y: top + LEGEND.line * (line + 0.5) };
    x += own;
    return at;
  });
  return { placed, height: placed.length === 0 ? 0 : LEGEND.line * (line + 1) };
}

function legendSvg(placed: ReturnType<typeof layLegend>['placed']): string {
  const items = placed.map(({ label, color, dashed, x, y }) => {
    const dash = dashed ? ' stroke-dasharray="4 3"' : '';
    return `<line x1="${x}" x2="${x + 14}" y1="${y}" y2="${y}" stroke="${color}" stroke-width="3"${dash}></line><text x="${x + 19}" y="${y}" dy="0.35em">${escapeHtml(label)}</text>`;
  });
  return `<g aria-hidden="true" font-size="${FONT}" text-anchor="start">${items.join('')}</g>`;
}

/** Draws a chart, without a browser. */
export function drawChart({ description, legend = [], plot, data, ...content }: ChartContent): Chart {
  const width = plot.width ?? WIDTH;
  const top = plot.y?.label == null ? 0 : LABEL;
  const { placed, height } = layLegend(legend, width, top);
  const drawn = Plot.plot({
    document: parseHTML('<!doctype html><html><body></body></html>').document,
    style: { background: 'transparent', fontFamily: 'inherit', fontSize: `${FONT}px` },
    ...plot,
    width,
    marginTop: top + height + GAP,
    ...(plot.height === undefined ? {} : { height: plot.height + height }),
  });
  const label = escapeHtml(description ?? `${content.title}. ${content.note}`);
  const svg = drawn.outerHTML
    .replace('<svg ', `<svg role="img" aria-label="${label}" `)
    .replace('</svg>', `${legendSvg(placed)}</svg>`);
  return { kind: 'chart', ...content, svg, csv: writeCsv(data.header, data.rows) };
}

/** The SVG of a chart as a file of its own: with its title, a white ground, and colours instead of variables. */
export function standaloneSvg({ title, svg }: Chart): string {
  const open = svg.slice(0, svg.indexOf('>') + 1);
  const rest = svg.slice(open.length);
  const colours = (text: string) =>
    text.replace(/var\(--[\w-]+, (#[0-9a-f]+)\)/g, '$1').replaceAll('currentColor', '#1b2430');
  const own = open.includes('xmlns=') ? open : open.replace('<svg ', '<svg xmlns="http://www.w3.org/2000/svg" ');
  return `<?xml version="1.0" encoding="UTF-8"?>\n${colours(own)}<title>${escapeHtml(title)}</title><rect width="100%" height="100%" fill="#ffffff"></rect>${colours(rest)}\n`;
}

/** Links to the numbers and the drawing of a chart. They are in the page, so that it can be sent around alone. */
function filesHtml(chart: Chart): string {
  const link = (extension: string, content: string, type: string) =>
    `<a download="${escapeHtml(chart.name)}.${extension}" href="${dataUrl(content, type)}" aria-label="${escapeHtml(`${chart.title} as ${extension.toUpperCase()}`)}">${extension.toUpperCase()}</a>`;
  const svg = link('svg', standaloneSvg(chart), 'image/svg+xml');
  return `<p class="files">${link('csv', chart.csv, 'text/csv;charset=utf-8')}${svg}</p>`;
}

/** Writes a chart as HTML. */
export function chartHtml(chart: Chart): string {
  const note = chart.note === '' ? '' : ` <span class="quiet">${escapeHtml(chart.note)}</span>`;
  return `<figure class="chart"><figcaption><strong>${escapeHtml(chart.title)}</strong>${note}</figcaption>${chart.svg}${filesHtml(chart)}</figure>`;
}

export { Plot };
