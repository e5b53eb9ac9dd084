import { chart, Plot } from './chart.js';
import { type Comparison, comparisonRows } from './comparison.js';

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

function escapeHtml(text: string): string {
  const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return text.replace(/[&<>"]/g, (character) => entities[character] ?? character);
}

function dataUrl(png: Uint8Array): string {
  let binary = '';
  for (let start = 0; start < png.length; start += 0x8000)
    binary += String.fromCharCode(...png.subarray(start, start + 0x8000));
  return `data:image/png;base64,${btoa(binary)}`;
}

const integer = (value: number) => value.toLocaleString('en-US');
const percent = (value: number) => `${value.toFixed(2)} %`;

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (row: readonly string[], tag: string) =>
    row.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join('');
  return `<div class="scroll"><table><thead><tr>${cells(header, 'th')}</tr></thead><tbody>${rows
    .map((row) => `<tr>${cells(row, 'td')}</tr>`)
    .join('')}</tbody></table></div>`;
}

function section(title: string, ...body: readonly string[]): string {
  return `<section><h2>${escapeHtml(title)}</h2>${body.join('\n')}</section>`;
}

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

const style = `
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2530; background: #fff; margin: 0 auto; max-width: 980px; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.6rem; margin: 0 0 .4rem; } h2 { font-size: 1.15rem; margin: 2.4rem 0 .8rem; border-bottom: 1px solid #d8dee5; padding-bottom: .3rem; }
.verdict { font-size: 1.15rem; background: #eef4f8; border-left: 4px solid #2a6f97; padding: .8rem 1rem; margin: 1rem 0 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; } th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #e6eaef; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } thead th { border-bottom: 2px solid #c6ced8; }
figure { margin: 0; } .row { display: flex; flex-wrap: wrap; gap: 1.5rem; } .scroll { overflow-x: auto; }
.maps { display: grid; grid-template-columns: repeat(auto-fill, minmax(420px, 1fr)); gap: 1.2rem; } .maps img { width: 100%; height: auto; border: 1px solid #e6eaef; border-radius: 4px; }
figcaption, .quiet { color: #5a6675; font-size: .85rem; overflow-wrap: anywhere; }
`;

/** The report as one HTML page that needs nothing from the network. */
export function reportHtml(
  comparison: Comparison,
  extras: ReportExtras & { readonly pictures: readonly Picture[]; readonly correlations: readonly number[] },
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
      `<p>Grad-CAM at <code>${escapeHtml(maps.layer)}</code>, ${maps.images} images, the class that the first model predicts: correlation ${maps.pearson.mean.toFixed(3)} in the mean, ${maps.pearson.median.toFixed(3)} in the median, ${maps.pearson.min.toFixed(3)} at the least.</p>`,
      pointing,
      correlationChart(extras.correlations),
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
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title><style>${style}</style></head>
<body><h1>${escapeHtml(title)}</h1><p class="verdict">${escapeHtml(comparison.verdict)}</p>
${sections.join('\n')}
</body></html>
`;
}
