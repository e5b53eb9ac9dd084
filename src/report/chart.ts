/** Draws the charts of a report. No type that the package exports comes from here: types of Plot need types of D3. */
import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import type { Chart } from './chart-html.js';
import { type CsvCell, escapeHtml, writeCsv } from './format.js';

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
  /** The numbers that the chart shows. */
  readonly data: { readonly header: readonly string[]; readonly rows: readonly (readonly CsvCell[])[] };
}

const WIDTH = 440;
const FONT = 12;
/** Pixels of a character of a legend, of its swatch, and of one line. */
const LEGEND = { character: 6.6, swatch: 31, line: 18 };
/** Height of the label of the y axis, which is above the legend, and the gap between the legend and the plot. */
const LABEL = 20;
const LEGEND_GAP = 8;

/** Puts entries side by side, as many on a line as fit. */
function layOutLegend(entries: readonly LegendEntry[], width: number, top: number) {
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

function renderLegend(placed: ReturnType<typeof layOutLegend>['placed']): string {
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
  const { placed, height } = layOutLegend(legend, width, top);
  const drawn = Plot.plot({
    document: parseHTML('<!doctype html><html><body></body></html>').document,
    style: { background: 'transparent', fontFamily: 'inherit', fontSize: `${FONT}px` },
    ...plot,
    width,
    marginTop: top + height + LEGEND_GAP,
    ...(plot.height === undefined ? {} : { height: plot.height + height }),
  });
  const label = escapeHtml(description ?? `${content.title}. ${content.note}`);
  const svg = drawn.outerHTML
    .replace('<svg ', `<svg role="img" aria-label="${label}" `)
    .replace('</svg>', `${renderLegend(placed)}</svg>`);
  return { kind: 'chart', ...content, svg, csv: writeCsv(data.header, data.rows) };
}

export { Plot };
