/** The page of a sweep over sizes. */

import type { Accuracy } from '../metrics/accuracy.js';
import type { CompressionPage, CurvePoint } from '../report/compression-page.js';
import { formatCount, formatInteger, formatPercent, formatSigned } from '../report/format.js';
import type { Provenance } from '../report/provenance-html.js';
import { defined } from '../values.js';
import { buildBaselinePoint, describeGoal } from './describe-compression.js';
import type { GivenRanksBaseline } from './given-ranks-baseline.js';
import { formatShare } from './layer-cells.js';
import type { SweepPoint } from './sweep-point.js';

/** Columns after the first two, of which a size that cannot be reached has none. */
const MEASURED_COLUMNS = [
  'parameters left',
  'file left',
  'gzip left',
  'mult-adds left',
  'top-1',
  'points',
  'same',
  'KL, nats',
  'maps',
];

/** Columns of the CSV file: plain numbers with the units in the header. Empty: not measured. */
const CSV_HEADER = [
  'goal',
  'parameters',
  'parameters left (%)',
  'file left (%)',
  'gzip left (%)',
  'mult-adds left (%)',
  'top-1 (%)',
  'change of top-1 (points)',
  'same predictions (%)',
  'KL (nats)',
  'map correlation',
];

/** A row of the CSV file. */
function buildCsvRow({ goal, reached }: SweepPoint): (string | number)[] {
  if (!reached) return [describeGoal(goal), ...CSV_HEADER.slice(1).map(() => '')];
  const { size, accuracy, top1Drop, agreement, divergence, maps } = reached;
  const { parameters, onnxBytes, gzipBytes, multAdds } = size.ratio;
  return [
    describeGoal(goal),
    size.after.parameters,
    ...[parameters, onnxBytes, gzipBytes, multAdds].map((ratio) => 100 * ratio),
    accuracy?.top1 ?? '',
    top1Drop === undefined ? '' : -top1Drop,
    agreement,
    divergence,
    maps?.pearson?.mean ?? '',
  ];
}

/** Describes the page of a sweep. */
export function describeSweep(
  sweep: {
    readonly before?: Accuracy;
    readonly images: number;
    readonly points: readonly SweepPoint[];
    readonly byHand?: GivenRanksBaseline;
  },
  name: string,
  provenance: Provenance,
): CompressionPage {
  const { before, images, points, byHand } = sweep;
  const found = points.flatMap(({ reached }) => reached ?? []);
  const curve: CurvePoint[] = [
    { parameterShare: 1, ...defined({ top1: before?.top1 }), maps: 1, kind: 'original', label: 'original' },
    ...found.map(({ maps, size, accuracy }): CurvePoint => {
      const agreement = maps?.pearson ? { maps: maps.pearson.mean } : {};
      const { parameters } = size.ratio;
      const top1 = accuracy ? { top1: accuracy.top1 } : {};
      return { parameterShare: parameters, ...top1, ...agreement, kind: 'compressed', label: formatShare(parameters) };
    }),
    ...(byHand ? [buildBaselinePoint(byHand)] : []),
  ];
  const sizes = found.map(
    ({ size, accuracy, agreement }) =>
      `${formatPercent(accuracy ? accuracy.top1 : agreement)} at ${formatShare(size.ratio.parameters)}`,
  );
  const start = before
    ? `Top-1 is ${formatPercent(before.top1)} for the original`
    : 'The images have no labels; predictions that stay as they were';
  return {
    title: `${name}: accuracy and maps by size`,
    verdict: `${start}${sizes.length > 0 ? `; ${sizes.join(', ')} of the parameters` : '; no size was reached'}.`,
    warnings: points.flatMap(({ goal, smallest }) =>
      smallest === undefined
        ? []
        : [`${describeGoal(goal)} cannot be reached: the smallest is ${formatInteger(smallest)}.`],
    ),
    keys: [],
    curve,
    tables: [
      {
        name: 'points',
        title: 'Points',
        header: ['goal', 'parameters', ...MEASURED_COLUMNS],
        rows: points.map(({ goal, smallest, reached }) =>
          reached
            ? [
                describeGoal(goal),
                formatInteger(reached.size.after.parameters),
                formatShare(reached.size.ratio.parameters),
                formatShare(reached.size.ratio.onnxBytes),
                formatShare(reached.size.ratio.gzipBytes),
                formatShare(reached.size.ratio.multAdds),
                reached.accuracy ? formatPercent(reached.accuracy.top1) : '–',
                reached.top1Drop === undefined ? '–' : formatSigned(-reached.top1Drop, 2),
                formatPercent(reached.agreement),
                reached.divergence.toPrecision(3),
                reached.maps?.pearson?.mean.toFixed(3) ?? '–',
              ]
            : [describeGoal(goal), `not below ${formatInteger(smallest ?? 0)}`, ...MEASURED_COLUMNS.map(() => '–')],
        ),
        data: { header: CSV_HEADER, rows: points.map(buildCsvRow) },
        notes: [
          "Points: change of top-1. Same: predictions as the original's. Maps: mean of Pearson's correlation with the maps of the original.",
        ],
      },
    ],
    layers: [],
    notes: [
      `Measured on ${formatCount(images, 'image')}. Latency is not measured where several points are made at once.`,
    ],
    provenance,
  };
}
