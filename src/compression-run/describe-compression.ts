/** Pages of compressed models. */

import type { LayerOutcome } from '../compression/layer-outcome.js';
import { writeReport } from '../io/report-files.js';
import { formatAgreement } from '../metrics/agreement.js';
import { describeSpeed, formatMilliseconds, formatSpeed } from '../report/comparison.js';
import {
  type CompressionPage,
  type CurvePoint,
  type LayerSpectra,
  makeCompressionReport,
} from '../report/compression-page.js';
import { formatDecimal, formatInteger, formatMegabytes, formatPercent, formatSigned } from '../report/format.js';
import type { KeyFigure } from '../report/report-page.js';
import { defined } from '../values.js';
import type { CompressionGoal } from './compression-plan.js';
import type { CompressionReport } from './compression-report.js';
import type { GivenRanksBaseline } from './given-ranks-baseline.js';
import { formatLayerCells, formatShare, LAYER_COLUMNS, sumPredictedDivergence } from './layer-cells.js';
import type { LayerFigures, SizeChange } from './size-figures.js';

/** What the ranks of `tails.ts` divide. */
const unfoldingNames = { input: 'in | rest', middle: 'height | width', output: 'rest | out' } as const;

/** A goal in words. */
export function describeGoal(goal: CompressionGoal): string {
  if (goal.kind === 'accuracyDrop') return `at most ${goal.most} points of top-1 lost`;
  if (goal.kind === 'error') return `outputs within ${formatShare(goal.most)}`;
  const names = { params: 'parameters', size: 'bytes', macs: 'multiply-adds' } as const;
  return 'share' in goal.most
    ? `${formatShare(goal.most.share)} of the ${names[goal.kind]}`
    : `${formatInteger(goal.most.amount)} ${names[goal.kind]}`;
}

/** The spectra of layers, with what was chosen. */
function listSpectra(layers: readonly LayerOutcome[]): LayerSpectra[] {
  return layers.map(({ path, scheme, ranks, spectra }) => ({
    path,
    choice: scheme ? `${scheme} ${ranks.join(', ')}` : 'dense',
    spectra: spectra.map(({ bond, energies, rank }) => ({
      unfolding: unfoldingNames[bond],
      energies,
      ...defined({ rank }),
    })),
  }));
}

/** A model with hand-chosen ranks as a point of the curve. */
export function buildBaselinePoint({ size, accuracy, maps, name }: GivenRanksBaseline): CurvePoint {
  const correlation = maps?.pearson ? { maps: maps.pearson.mean } : {};
  const top1 = accuracy ? { top1: accuracy.top1 } : {};
  return { parameterShare: size.ratio.parameters, ...top1, ...correlation, kind: 'by hand', label: name };
}

function buildSizeTable({ before, after, ratio }: SizeChange) {
  const row = (label: string, key: keyof typeof ratio) => [
    label,
    formatInteger(before[key]),
    formatInteger(after[key]),
    formatShare(ratio[key]),
  ];
  const cells = (label: string, key: keyof typeof ratio) => [label, before[key], after[key], 100 * ratio[key]];
  return {
    name: 'sizes',
    title: 'Sizes',
    header: ['', 'before', 'after', 'left'],
    rows: [
      row('parameters', 'parameters'),
      row('file, bytes', 'onnxBytes'),
      row('file, gzipped', 'gzipBytes'),
      row('multiply-adds', 'multAdds'),
    ],
    data: {
      header: ['quantity', 'before', 'after', 'left (%)'],
      rows: [
        cells('parameters', 'parameters'),
        cells('file, bytes', 'onnxBytes'),
        cells('file, gzipped (bytes)', 'gzipBytes'),
        cells('multiply-adds', 'multAdds'),
      ],
    },
  };
}

function buildLayerTable(layers: readonly LayerFigures[]) {
  return {
    name: 'layers',
    title: 'Layers',
    header: ['layer', 'scheme', 'ranks', ...LAYER_COLUMNS, 'predicted KL'],
    rows: layers.map((layer) => [
      layer.path,
      layer.scheme ?? `dense: ${layer.reason ?? ''}`,
      layer.ranks.join(', '),
      ...formatLayerCells(layer),
    ]),
    notes: ['Latency of a layer alone at batch 1, in percent of what it was. KL in nats, by the second moments.'],
  };
}

/** What was predicted for each layer alone, and what replacing it alone cost the predictions. */
function buildPredictionTable(layers: readonly LayerOutcome[]) {
  const most = Math.max(0, ...layers.map(({ measured }) => measured.length));
  const pair = (point: LayerOutcome['measured'][number] | undefined) =>
    point ? `${point.predicted.toPrecision(2)} / ${point.measured.toPrecision(2)}` : '–';
  return {
    name: 'predicted-and-measured',
    title: 'Predicted and measured loss of single layers',
    header: ['layer', ...Array.from({ length: most }, (_, k) => `point ${k + 1}`)],
    rows: layers
      .filter(({ measured }) => measured.length > 0)
      .map(({ path, measured }) => [path, ...Array.from({ length: most }, (_, k) => pair(measured[k]))]),
    notes: [
      'KL in nats: by the second moments / measured with the layer replaced alone, nothing fitted. Layers are compared by the first: fitting them one after another takes out most of what the second adds.',
    ],
  };
}

function buildAccuracyTable({
  accuracy,
  agreement,
  maps,
  error,
  divergence,
  layers,
  speed,
  control,
}: CompressionReport) {
  const points = (a: number, b: number) => `${formatSigned(b - a, 2)} points`;
  const rows: (readonly string[])[] = [];
  if (accuracy) {
    const { before, after } = accuracy;
    rows.push(
      ['top-1', formatPercent(before.top1), formatPercent(after.top1), points(before.top1, after.top1)],
      ['top-5', formatPercent(before.top5), formatPercent(after.top5), points(before.top5, after.top5)],
      ['mean NLL, nats', before.nll.toFixed(4), after.nll.toFixed(4), formatSigned(after.nll - before.nll, 4)],
    );
  }
  rows.push(
    ['predictions as before', '–', formatPercent(agreement), accuracy ? '' : 'the images have no labels'],
    ['difference of the outputs', '–', formatShare(error), 'relative, of the centred log-probabilities'],
    [
      'mean KL, nats',
      '–',
      divergence.toPrecision(3),
      `${sumPredictedDivergence(layers).toPrecision(2)} predicted before fitting`,
    ],
  );
  if (maps) {
    const lowest = maps.lowest ? `lowest ${formatDecimal(maps.lowest.correlation)}: ${maps.lowest.file}` : '';
    rows.push([`correlation of maps, ${maps.images} images`, '–', formatAgreement(maps), lowest]);
  }
  for (const figures of speed) {
    const { batch, beforeMs, afterMs } = figures;
    rows.push([
      `latency, batch ${batch}`,
      formatMilliseconds(beforeMs),
      formatMilliseconds(afterMs),
      describeSpeed(figures),
    ]);
  }
  if (control) {
    const kept = control.maps ? `maps ${formatAgreement(control.maps)}` : '';
    const [a, b] = [accuracy?.before, control.accuracy].map((found) => (found ? formatPercent(found.top1) : '–'));
    rows.push(['control: dense, trained alike, top-1', a ?? '–', b ?? '–', kept]);
  }
  return {
    name: 'accuracy-and-speed',
    title: 'Accuracy, maps and speed',
    header: ['', 'before', 'after', 'change'],
    rows,
  };
}

function listCompressionFigures({
  accuracy,
  agreement,
  size,
  maps,
  speed,
  divergence,
}: CompressionReport): KeyFigure[] {
  const [first] = speed;
  return [
    {
      label: 'Parameters left',
      value: formatShare(size.ratio.parameters),
      detail: `${formatInteger(size.before.parameters)} → ${formatInteger(size.after.parameters)}`,
    },
    {
      label: 'File left',
      value: formatShare(size.ratio.onnxBytes),
      detail: `${formatMegabytes(size.before.onnxBytes)} → ${formatMegabytes(size.after.onnxBytes)}`,
    },
    ...(first
      ? [
          {
            label: `Speed, batch ${first.batch}`,
            value: formatSpeed(first).replace(' the speed', ''),
            detail: `${formatMilliseconds(first.beforeMs)} → ${formatMilliseconds(first.afterMs)}`,
          },
        ]
      : []),
    accuracy
      ? {
          label: 'Top-1 accuracy',
          value: formatPercent(accuracy.after.top1),
          detail: `${formatSigned(-accuracy.top1Drop, 2)} points`,
        }
      : { label: 'Predictions as before', value: formatPercent(agreement), detail: 'the images have no labels' },
    { label: 'Mean KL', value: divergence.toPrecision(3), detail: "nats, from the original's predictions" },
    ...(maps
      ? [
          {
            label: 'Correlation of maps',
            value: maps.pearson ? formatDecimal(maps.pearson.mean) : 'not defined',
            detail: maps.lowest
              ? `lowest ${formatDecimal(maps.lowest.correlation)}: ${maps.lowest.file}`
              : 'constant maps',
          },
        ]
      : []),
  ];
}

/** Describes the page of a compressed model. */
export function describeCompressionPage(
  result: CompressionReport,
  name: string,
  from: Pick<CompressionPage, 'warnings' | 'provenance'>,
): CompressionPage {
  const { accuracy, size, maps, data, trials, byHand } = result;
  const curve: CurvePoint[] = [
    {
      parameterShare: 1,
      ...(accuracy && { top1: accuracy.before.top1 }),
      maps: 1,
      kind: 'original',
      label: 'original',
    },
    ...trials.flatMap(({ share: left, top1, mapSimilarity }): CurvePoint[] => {
      const correlation = mapSimilarity === undefined ? {} : { maps: mapSimilarity };
      const measured = top1 === undefined ? correlation : { top1, ...correlation };
      return left === undefined ? [] : [{ parameterShare: left, ...measured, kind: 'tried' }];
    }),
    {
      parameterShare: size.ratio.parameters,
      ...(accuracy && { top1: accuracy.after.top1 }),
      ...(maps?.pearson ? { maps: maps.pearson.mean } : {}),
      kind: 'chosen',
      label: formatShare(size.ratio.parameters),
    },
    ...(byHand ? [buildBaselinePoint(byHand)] : []),
  ];
  return {
    title: `${name}, compressed`,
    verdict: `Asked for: ${describeGoal(result.goal)}. ${formatShare(size.ratio.parameters)} of the parameters and ${formatShare(size.ratio.gzipBytes)} of the gzipped file are left; ${accuracy ? `top-1 ${formatPercent(accuracy.before.top1)} → ${formatPercent(accuracy.after.top1)}` : `${formatPercent(result.agreement)} of the predictions stay as they were (the images have no labels)`}${maps ? `, maps correlate at ${formatAgreement(maps)}` : ''}.`,
    curve,
    tables: [
      buildAccuracyTable(result),
      buildSizeTable(size),
      buildLayerTable(result.layers),
      buildPredictionTable(result.layers),
    ],
    layers: listSpectra(result.layers),
    ...from,
    keys: listCompressionFigures(result),
    notes: [
      `Accuracy, KL and maps: ${formatInteger(data.validationImages)} images of ${data.validation}. Statistics for the ranks: ${formatInteger(data.calibrationImages)} images of ${data.train}. Latencies: medians of interleaved runs; their intervals are 95 % bootstrap intervals of the ratio.`,
    ],
  };
}

/** Writes a page and its results into a folder. */
export function writeCompressionPage(folder: string, page: CompressionPage, results: object): Promise<string> {
  return writeReport(folder, makeCompressionReport(page), { ...results, provenance: page.provenance });
}
