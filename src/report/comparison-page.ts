/** The page of a comparison of two models. */
import { describeConstantMaps } from '../metrics/agreement.js';
import { type Comparison, shortSpeed } from './comparison.js';
import { correlationChart, type MapPair, sizeChart } from './comparison-charts.js';
import { FIGURES_TITLE, figuresTable, flipsTable, type LayerRow, layersTable } from './comparison-tables.js';
import { counted, decimal, escapeHtml, integer, percent, signed } from './format.js';
import { type KeyFigure, makeReport, paragraph, type Report, type Section } from './page.js';
import { type PictureGroup, picturesHtml, scaleHtml } from './pictures.js';
import { type HistoryPoint, historyCharts } from './training.js';
import { describeMaps } from './verdict.js';

/** What a report shows besides the comparison. */
export interface ReportExtras {
  readonly title?: string;
  readonly history?: readonly HistoryPoint[];
  /** The epoch of it whose weights were saved. */
  readonly keptEpoch?: number;
  readonly layers?: readonly LayerRow[];
  /** Top-1 after compression, before fine-tuning, in percent. */
  readonly squeezedTop1?: number;
}

/** Maps and pictures of a report. */
export interface ReportMaps {
  readonly pairs: readonly MapPair[];
  readonly pictures: readonly PictureGroup[];
  /** The colours from 0 to 1, WebP. */
  readonly scale: Uint8Array;
}

function keyFigures({ accuracy, size, speed, predictions, maps }: Comparison): KeyFigure[] {
  const share = (key: 'parameters' | 'onnxBytes') => percent((100 * size.after[key]) / size.before[key], 1);
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(2);
  const [first] = speed;
  return [
    {
      label: 'Parameters left',
      value: share('parameters'),
      detail: `${integer(size.before.parameters)} → ${integer(size.after.parameters)}`,
    },
    {
      label: 'File left',
      value: share('onnxBytes'),
      detail: `${megabytes(size.before.onnxBytes)} → ${megabytes(size.after.onnxBytes)} MB`,
    },
    ...(first
      ? [
          {
            label: `Speed, batch ${first.batch}`,
            value: shortSpeed(first).replace(' the speed', ''),
            detail: `${first.beforeMs.toPrecision(3)} → ${first.afterMs.toPrecision(3)} ms`,
          },
        ]
      : []),
    {
      label: 'Top-1 accuracy',
      value: accuracy ? percent(accuracy.after.top1) : '–',
      detail: !accuracy
        ? 'images without labels'
        : accuracy.doubt === undefined
          ? `${signed(-accuracy.top1Drop, 2)} points`
          : 'not meaningful: see the warning',
    },
    {
      label: 'Same predictions',
      value: percent(predictions.agreement, 1),
      detail: `${integer(predictions.images - predictions.same)} of ${integer(predictions.images)} changed`,
    },
    {
      label: 'Correlation of maps',
      value: maps.pearson ? decimal(maps.pearson.mean) : 'not defined',
      detail: maps.lowest ? `lowest ${decimal(maps.lowest.correlation)}` : 'constant maps',
    },
  ];
}

/** What the changes of predictions did, as a sentence; nothing where labels are not known or not to be trusted. */
function changed({ flips, accuracy, predictions }: Comparison): string {
  const { changed: kinds } = predictions;
  if (flips.length === 0 || !kinds || accuracy?.doubt !== undefined) return '';
  return ` Of those that changed, ${kinds.lost} were right and are wrong now, ${kinds.gained} were wrong and are right now, and ${kinds.wrong} are wrong in another way.`;
}

/** Makes the report of a comparison. */
export function buildComparisonReport(comparison: Comparison, extras: ReportExtras, found: ReportMaps): Report {
  const { models, maps, flips, predictions, accuracy, provenance } = comparison;
  const { layers = [], history = [] } = extras;
  const constant = describeConstantMaps(maps);
  const pointing = maps.pointingGame;
  const sections: Section[] = [
    {
      title: FIGURES_TITLE,
      blocks: [figuresTable(comparison), { kind: 'charts', charts: [sizeChart(comparison)] }],
    },
    {
      title: 'What the models look at',
      blocks: [
        `<p>Grad-CAM at <code>${escapeHtml(maps.layer)}</code> for the class that the first model predicts, ${counted(maps.images, 'image')} spread over the data set. ${escapeHtml(describeMaps(maps))}</p>`,
        constant === undefined ? '' : paragraph(`${constant}.`),
        pointing
          ? paragraph(
              `Pointing game: the peak of the map lies inside the object's box for ${percent(100 * pointing.before, 1)} of ${counted(pointing.images, 'image')} before and ${percent(100 * pointing.after, 1)} after.`,
            )
          : '',
        found.pairs.some(({ correlation }) => correlation !== undefined)
          ? { kind: 'charts', charts: [correlationChart(found.pairs, maps.layer)] }
          : '',
        found.pictures.some(({ pictures }) => pictures.length > 0) ? scaleHtml(found.scale) : '',
        picturesHtml(found.pictures, models),
      ],
    },
    {
      title: `Changed predictions: ${integer(flips.length)} of ${integer(predictions.images)}`,
      blocks: [
        paragraph(`${percent(predictions.agreement)} of the predictions are the same.${changed(comparison)}`),
        flips.length === 0 ? '' : flipsTable(comparison),
      ],
    },
    { title: 'Compressed layers', blocks: layers.length === 0 ? [] : [layersTable(layers)] },
    {
      title: 'Fine-tuning',
      blocks:
        history.length === 0
          ? []
          : [
              extras.squeezedTop1 === undefined || !accuracy
                ? ''
                : paragraph(
                    `Top-1 after compression, before any training: ${percent(extras.squeezedTop1)}; afterwards: ${percent(accuracy.after.top1)}.`,
                  ),
              { kind: 'charts', charts: historyCharts(history, extras.keptEpoch) },
            ],
    },
  ];
  return makeReport({
    title: extras.title ?? `${models.before} against ${models.after}`,
    verdict: comparison.verdict,
    warnings: comparison.warnings,
    keys: keyFigures(comparison),
    sections,
    provenance,
  });
}
