/** What all reports are made of: one HTML page that needs nothing from the network, and its figures as files. */
import { type Chart, renderChart, renderStandaloneSvg } from './chart-html.js';
import { escapeHtml, toProseHtml } from './format.js';
import { type Provenance, renderProvenance } from './provenance-html.js';
import { renderTable, type Table } from './report-table.js';
import { style } from './style.js';

/** Charts side by side. */
export interface ChartRow {
  readonly kind: 'charts';
  readonly charts: readonly Chart[];
  /** Many small ones instead of two large ones on a line. */
  readonly small?: boolean;
}

/** A part of a section: HTML, or something that is also written to a file. */
export type Block = string | Table | ChartRow;

/** A section of a page. */
export interface Section {
  readonly title: string;
  readonly blocks: readonly Block[];
}

/** One of the figures at the top. */
export interface KeyFigure {
  readonly label: string;
  readonly value: string;
  /** What stands below it, smaller. */
  readonly detail: string;
}

/** A whole page. */
export interface Page {
  readonly title: string;
  readonly verdict: string;
  /** What speaks against believing the figures. */
  readonly warnings: readonly string[];
  readonly keyFigures: readonly KeyFigure[];
  readonly sections: readonly Section[];
  readonly provenance: Provenance;
}

/** A page and the files that belong to it. */
export interface Report {
  readonly html: string;
  /** Charts as SVG and CSV, tables as CSV: paths in the report's folder, and their text. */
  readonly files: readonly { readonly path: string; readonly text: string }[];
}

/** Folder of a report's charts and tables. */
export const FIGURES_FOLDER = 'figures';

/** A paragraph. */
export const renderParagraph = (text: string, quiet = false): string =>
  `<p${quiet ? ' class="quiet"' : ''}>${toProseHtml(text)}</p>`;

function renderBlock(block: Block, { title }: Section): string {
  if (typeof block === 'string') return block;
  if (block.kind === 'table') return renderTable(block, block.title !== title);
  return `<div class="charts${block.small ? ' small' : ''}">${block.charts.map(renderChart).join('\n')}</div>`;
}

function listFigureFiles(block: Block): Report['files'] {
  const path = (name: string) => `${FIGURES_FOLDER}/${name}`;
  if (typeof block === 'string') return [];
  if (block.kind === 'table') return [{ path: path(`${block.name}.csv`), text: block.csv }];
  return block.charts.flatMap((chart) => [
    { path: path(`${chart.name}.csv`), text: chart.csv },
    { path: path(`${chart.name}.svg`), text: renderStandaloneSvg(chart) },
  ]);
}

const renderKeyFigures = (keys: readonly KeyFigure[]): string =>
  keys.length === 0
    ? ''
    : `<dl class="keys">${keys
        .map(
          ({ label, value, detail }) =>
            `<div><dt>${escapeHtml(label)}</dt><dd>${escapeHtml(value)}</dd><dd class="detail">${escapeHtml(detail)}</dd></div>`,
        )
        .join('\n')}</dl>`;

/** Makes the report of a page. Sections without content are left out. */
export function makeReport({ title, verdict, warnings, keyFigures: keys, sections, provenance }: Page): Report {
  const filled = sections.filter(({ blocks }) => blocks.some((block) => block !== ''));
  const body = [
    ...filled.map(
      (section) =>
        `<section><h2>${escapeHtml(section.title)}</h2>\n${section.blocks.map((block) => renderBlock(block, section)).join('\n')}</section>`,
    ),
    `<section><h2>Provenance</h2>\n${renderProvenance(provenance)}</section>`,
  ];
  const html = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>${escapeHtml(title)}</title><style>${style}</style></head>
<body><h1>${escapeHtml(title)}</h1><p class="verdict">${toProseHtml(verdict)}</p>
${warnings.map((warning) => `<p class="warning" role="note"><strong>Warning:</strong> ${escapeHtml(warning)}</p>`).join('\n')}
${renderKeyFigures(keys)}
<main>${body.join('\n')}</main>
</body></html>
`;
  return { html, files: filled.flatMap(({ blocks }) => blocks.flatMap(listFigureFiles)) };
}
