/** The page of a comparison of two models. */
import { describeConstantMaps } from '../metrics/agreement.js';
import { type Comparison, formatSpeed } from './comparison.js';
import { drawCorrelationChart, drawSizeChart, type MapCorrelation } from './comparison-charts.js';
import {
  buildFiguresTable,
  buildFlipsTable,
  buildLayersTable,
  FIGURES_TITLE,
  type LayerRow,
} from './comparison-tables.js';
import { escapeHtml, formatCount, formatDecimal, formatInteger, formatPercent, formatSigned } from './format.js';
import { type PictureGroup, renderColorScale, renderPictureGroups } from './picture-html.js';
import { type KeyFigure, makeReport, type Report, renderParagraph, type Section } from './report-page.js';
import { drawHistoryCharts, type HistoryPoint } from './training-charts.js';
import { describeMaps } from './verdict.js';

/** What a report shows besides the comparison. */
export interface ReportExtras {
  readonly title?: string;
  readonly history?: readonly HistoryPoint[];
  /** The epoch of it whose weights were saved. */
  readonly keptEpoch?: number;
  readonly layers?: readonly LayerRow[];
  /** Top-1 after compression, before fine-tuning, in percent. */
  readonly compressedTop1Percent?: number;
}

/** Maps and pictures of a report. */
export interface ReportMaps {
  readonly pairs: readonly MapCorrelation[];
  readonly pictures: readonly PictureGroup[];
  /** The colours from 0 to 1, WebP. */
  readonly scale: Uint8Array;
}

function buildKeyFigures({ accuracy, size, speed, predictions, maps }: Comparison): KeyFigure[] {
  const formatShare = (key: 'parameters' | 'onnxBytes') => formatPercent((100 * size.after[key]) / size.before[key], 1);
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(2);
  const [first] = speed;
  return [
    {
      label: 'Parameters left',
      value: formatShare('parameters'),
      detail: `${formatInteger(size.before.parameters)} → ${formatInteger(size.after.parameters)}`,
    },
    {
      label: 'File left',
      value: formatShare('onnxBytes'),
      detail: `${megabytes(size.before.onnxBytes)} → ${megabytes(size.after.onnxBytes)} MB`,
    },
    ...(first
      ? [
          {
            label: `Speed, batch ${first.batch}`,
            value: formatSpeed(first).replace(' the speed', ''),
            detail: `${first.beforeMs.toPrecision(3)} → ${first.afterMs.toPrecision(3)} ms`,
          },
        ]
      : []),
    {
      label: 'Top-1 accuracy',
      value: accuracy ? formatPercent(accuracy.after.top1) : '–',
      detail: !accuracy
        ? 'images without labels'
        : accuracy.doubt === undefined
          ? `${formatSigned(-accuracy.top1Drop, 2)} points`
          : 'not meaningful: see the warning',
    },
    {
      label: 'Same predictions',
      value: formatPercent(predictions.agreement, 1),
      detail: `${formatInteger(predictions.images - predictions.same)} of ${formatInteger(predictions.images)} changed`,
    },
    {
      label: 'Correlation of maps',
      value: maps.pearson ? formatDecimal(maps.pearson.mean) : 'not defined',
      detail: maps.lowest ? `lowest ${formatDecimal(maps.lowest.correlation)}` : 'constant maps',
    },
  ];
}

/** What the changes of predictions did, as a sentence; nothing where labels are not known or not to be trusted. */
function describeChanges({ flips, accuracy, predictions }: Comparison): string {
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
      blocks: [buildFiguresTable(comparison), { kind: 'charts', charts: [drawSizeChart(comparison)] }],
    },
    {
      title: 'What the models look at',
      blocks: [
        `<p>Grad-CAM at <code>${escapeHtml(maps.layer)}</code> for the class that the first model predicts, ${formatCount(maps.images, 'image')} spread over the data set. ${escapeHtml(describeMaps(maps))}</p>`,
        constant === undefined ? '' : renderParagraph(`${constant}.`),
        pointing
          ? renderParagraph(
              `Pointing game: the peak of the map lies inside the object's box for ${formatPercent(100 * pointing.before, 1)} of ${formatCount(pointing.images, 'image')} before and ${formatPercent(100 * pointing.after, 1)} after.`,
            )
          : '',
        found.pairs.some(({ correlation }) => correlation !== undefined)
          ? { kind: 'charts', charts: [drawCorrelationChart(found.pairs, maps.layer)] }
          : '',
        found.pictures.some(({ pictures }) => pictures.length > 0) ? renderColorScale(found.scale) : '',
        renderPictureGroups(found.pictures, models),
      ],
    },
    {
      title: `Changed predictions: ${formatInteger(flips.length)} of ${formatInteger(predictions.images)}`,
      blocks: [
        renderParagraph(
          `${formatPercent(predictions.agreement)} of the predictions are the same.${describeChanges(comparison)}`,
        ),
        flips.length === 0 ? '' : buildFlipsTable(comparison),
      ],
    },
    { title: 'Compressed layers', blocks: layers.length === 0 ? [] : [buildLayersTable(layers)] },
    {
      title: 'Fine-tuning',
      blocks:
        history.length === 0
          ? []
          : [
              extras.compressedTop1Percent === undefined || !accuracy
                ? ''
                : renderParagraph(
                    `Top-1 after compression, before any training: ${formatPercent(extras.compressedTop1Percent)}; afterwards: ${formatPercent(accuracy.after.top1)}.`,
                  ),
              { kind: 'charts', charts: drawHistoryCharts(history, extras.keptEpoch) },
            ],
    },
  ];
  return makeReport({
    title: extras.title ?? `${models.before} against ${models.after}`,
    verdict: comparison.verdict,
    warnings: comparison.warnings,
    keyFigures: buildKeyFigures(comparison),
    sections,
    provenance,
  });
}
