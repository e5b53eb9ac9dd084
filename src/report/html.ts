import { agreementText, constantMapsText } from '../metrics/agreement.js';
import { chart, Plot } from './chart.js';
import { type Comparison, comparisonRows } from './comparison.js';
import { dataUrl, escapeHtml, integer, page, percent, section, table } from './page.js';

/** One point of a training's history. */
export interface HistoryPoint {
  readonly epoch: number;
  readonly trainLoss: number;
  readonly validationLoss?: number | undefined;
  /** Percent. */
  readonly trainTop1: number;
  /** Percent. */
  readonly validationTop1?: number | undefined;
}

/** How one layer was squeezed. */
export interface LayerRow {
  readonly name: string;
  readonly layout: string;
  readonly outModes: readonly number[];
  readonly inModes: readonly number[];
  readonly bonds: readonly number[];
  readonly error: number;
  readonly bound: number;
  readonly parametersBefore: number;
  readonly parametersAfter: number;
  readonly execution: string;
}

/** A picture of the report: a PNG with its title. */
export interface Picture {
  readonly title: string;
  readonly png: Uint8Array;
}

/** What a report shows beside the comparison. */
export interface ReportExtras {
  readonly title?: string;
  readonly history?: readonly HistoryPoint[];
  readonly layers?: readonly LayerRow[];
  /** Top-1 after squeezing, before fine-tuning, in percent. */
  readonly squeezedTop1?: number;
}

/** Flipped predictions listed one by one; the rest is only counted. */
const LISTED_FLIPS = 60;

function figures(comparison: Comparison): string {
  return table(
    ['', comparison.models.before, comparison.models.after, 'after against before'],
    comparisonRows(comparison).map(({ label, before, after, change }) => [label, before, after, change]),
  );
}

function sizeChart(comparison: Comparison): string {
  const { before, after } = comparison.size;
  const rows = [
    { what: 'parameters', share: (100 * after.parameters) / before.parameters },
    { what: 'ONNX file', share: (100 * after.onnxBytes) / before.onnxBytes },
    { what: 'gzip', share: (100 * after.gzipBytes) / before.gzipBytes },
    { what: 'mult-adds', share: (100 * after.multAdds) / before.multAdds },
    ...comparison.speed.map((s) => ({ what: `latency, batch ${s.batch}`, share: 100 * s.ratio })),
  ];
  return chart({
    height: 36 * rows.length + 60,
    marginBottom: 42,
    width: 640,
    marginLeft: 120,
    x: {
      label: 'percent of the original →',
      domain: [0, Math.max(100, ...rows.map(({ share }) => share)) * 1.08],
      grid: true,
    },
    y: { label: null, domain: rows.map(({ what }) => what) },
    marks: [
      Plot.barX(rows, { y: 'what', x: 'share', fill: '#2a6f97', rx: 2 }),
      Plot.text(rows, {
        y: 'what',
        x: 'share',
        text: (row: { share: number }) => `${row.share.toFixed(1)} %`,
        dx: 6,
        textAnchor: 'start',
      }),
      Plot.ruleX([100], { stroke: '#b5442e', strokeDasharray: '4 3' }),
    ],
  });
}

function historyCharts(history: readonly HistoryPoint[]): string {
  const long = (train: (p: HistoryPoint) => number, validation: (p: HistoryPoint) => number | undefined) =>
    history.flatMap((point) => {
      const held = validation(point);
      return [
        { epoch: point.epoch, value: train(point), of: 'training' },
        ...(held === undefined ? [] : [{ epoch: point.epoch, value: held, of: 'validation' }]),
      ];
    });
  const draw = (label: string, rows: ReturnType<typeof long>) =>
    chart({
      width: 420,
      height: 240,
      marginBottom: 40,
      x: { label: 'epoch →', ticks: history.length > 12 ? 10 : history.map(({ epoch }) => epoch), tickFormat: 'd' },
      y: { label: `↑ ${label}`, grid: true },
      color: { legend: true, domain: ['training', 'validation'], range: ['#2a6f97', '#e07a1f'] },
      marks: [Plot.line(rows, { x: 'epoch', y: 'value', z: 'of', stroke: 'of', strokeWidth: 2, marker: 'dot' })],
    });
  return `<div class="row">${draw(
    'loss',
    long(
      (p) => p.trainLoss,
      (p) => p.validationLoss,
    ),
  )}${draw(
    'top-1, %',
    long(
      (p) => p.trainTop1,
      (p) => p.validationTop1,
    ),
  )}</div>`;
}

function correlationChart(correlations: readonly number[]): string {
  return chart({
    width: 640,
    height: 230,
    marginBottom: 42,
    x: { label: "Pearson's correlation of the two maps of an image →", domain: [Math.min(0, ...correlations), 1] },
    y: { label: '↑ images', grid: true },
    marks: [
      Plot.rectY(
        correlations.map((r) => ({ r })),
        { ...Plot.binX({ y: 'count' }, { x: 'r', thresholds: 20 }), fill: '#2a6f97' },
      ),
      Plot.ruleY([0]),
    ],
  });
}

/** The report as one HTML page that needs nothing from the network. */
export function reportHtml(
  comparison: Comparison,
  extras: ReportExtras & {
    readonly pictures: readonly Picture[];
    readonly correlations: readonly (number | undefined)[];
  },
): string {
  const { maps, flips, machine, accuracy } = comparison;
  const title = extras.title ?? `${comparison.models.before} against ${comparison.models.after}`;
  const share = (value: number) => percent(100 * value);
  const pointing = maps.pointingGame
    ? `<p>Pointing game: the map's peak lies inside the object's box for ${share(maps.pointingGame.before)} of ${maps.pointingGame.images} images before and ${share(maps.pointingGame.after)} after.</p>`
    : '';
  const pictures = extras.pictures.map(
    ({ title: name, png }) =>
      `<figure><img alt="${escapeHtml(`Grad-CAM of ${name}, before and after`)}" src="${dataUrl(png)}"><figcaption>${escapeHtml(name)}</figcaption></figure>`,
  );
  const layers = extras.layers ?? [];
  const sections = [
    section('In figures', figures(comparison), sizeChart(comparison)),
    layers.length === 0
      ? ''
      : section(
          'Layers',
          table(
            ['layer', 'layout', 'out × in modes', 'bonds', 'parameters', 'error', 'bound', 'runs'],
            layers.map((layer) => [
              layer.name,
              layer.layout,
              `[${layer.outModes.join(', ')}] × [${layer.inModes.join(', ')}]`,
              `[${layer.bonds.join(', ')}]`,
              `${integer(layer.parametersBefore)} → ${integer(layer.parametersAfter)}`,
              percent(100 * layer.error),
              percent(100 * layer.bound),
              layer.execution,
            ]),
          ),
          '<p class="quiet">Error and bound: Frobenius norm of the difference, in percent of the weight’s norm (Oseledets 2011).</p>',
        ),
    extras.history && extras.history.length > 0
      ? section(
          'Fine-tuning',
          extras.squeezedTop1 === undefined
            ? ''
            : `<p>Squeezed, before any training: top-1 ${percent(extras.squeezedTop1)}; after it: ${percent(accuracy.after.top1)}.</p>`,
          historyCharts(extras.history),
        )
      : '',
    section(
      'Explanations',
      `<p>Grad-CAM at <code>${escapeHtml(maps.layer)}</code>, ${maps.images} images, the class that the first model predicts: correlation ${agreementText(maps)}${maps.pearson ? ` in the mean, ${maps.pearson.median.toFixed(3)} in the median, ${maps.pearson.min.toFixed(3)} at the least` : ''}.</p>`,
      constantMapsText(maps) === undefined ? '' : `<p>${constantMapsText(maps)}.</p>`,
      pointing,
      correlationChart(extras.correlations.filter((r) => r !== undefined)),
      `<div class="maps">${pictures.join('\n')}</div>`,
    ),
    section(
      `Flipped predictions: ${flips.length} of ${accuracy.after.images}`,
      `<p>Both models agree on ${percent(accuracy.agreement)} of the images.</p>`,
      flips.length === 0
        ? ''
        : table(
            ['image', 'label', comparison.models.before, comparison.models.after],
            flips
              .slice(0, LISTED_FLIPS)
              .map((flip) => [
                flip.file,
                flip.labelName,
                `${flip.beforeName}${flip.before === flip.label ? ' ✓' : ''}`,
                `${flip.afterName}${flip.after === flip.label ? ' ✓' : ''}`,
              ]),
          ),
      flips.length > LISTED_FLIPS ? `<p class="quiet">${flips.length - LISTED_FLIPS} more are in report.json.</p>` : '',
    ),
    `<p class="quiet">Measured on ${escapeHtml(machine.cpu)}, ${machine.threads} threads, Node ${escapeHtml(machine.node)}; data: ${escapeHtml(comparison.data)}, ${accuracy.after.images} images. Latencies are medians of interleaved runs.</p>`,
  ];
  return page(title, comparison.verdict, sections);
}
