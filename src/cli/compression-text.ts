import { describeRefusedLayers } from '../compression/refused-layers.js';
import type { WeightCompression } from '../compression-run/compress-by-weights.js';
import type { GoalCompression } from '../compression-run/compress-to-goal.js';
import type { RankCompression } from '../compression-run/compress-with-ranks.js';
import type { CompressionShape } from '../compression-run/compression-report.js';
import { formatLayerCells, LAYER_COLUMNS, sumPredictedDivergence } from '../compression-run/layer-cells.js';
import type { LayerFigures, SizeChange } from '../compression-run/size-figures.js';
import type { SweepResult } from '../compression-run/sweep-sizes.js';
import { groupByReason, listNames, type NameWithReason } from '../evaluation/group-reasons.js';
import { CONSTANT_PREFIX } from '../graph/parameters.js';
import { formatAgreement } from '../metrics/agreement.js';
import { describeSpeed, formatMilliseconds } from '../report/comparison.js';
import { formatByteSize, formatEngineering, formatInteger, formatPercent } from './output.js';
import { formatTable } from './terminal-table.js';

/** Columns of layers that a narrow terminal leaves out, in this order. */
const OPTIONAL_COLUMNS = ['gzip', 'bytes', 'mult-adds', 'latency', 'predicted'];

/** Writes the table of the layers, and why some of them stay dense. */
function formatLayers(layers: readonly LayerFigures[]): string {
  const rows = layers.map((layer) => [
    layer.path,
    layer.scheme ?? 'dense',
    layer.ranks.join(',') || '–',
    ...formatLayerCells(layer),
  ]);
  const dense = layers.flatMap(({ path, reason }) => (reason ? [{ name: path, reason }] : []));
  return [
    formatTable(['layer', 'scheme', 'ranks', ...LAYER_COLUMNS, 'predicted'], rows, { optional: OPTIONAL_COLUMNS }),
    ...formatReasons('Dense', dense),
  ].join('\n');
}

/** Writes one line for each reason, with the layers that it applies to. */
function formatReasons(what: string, entries: readonly NameWithReason[]): string[] {
  return [...groupByReason(entries)].map(([reason, names]) => `${what}: ${listNames(names)} (${reason})`);
}

/** Writes a size: `0.02 MB float16`. */
const formatFileSize = ({ onnxBytes, dtype }: SizeChange['before']): string =>
  `${formatByteSize(onnxBytes)}${dtype === undefined ? '' : ` ${dtype}`}`;

/** Writes sizes before and after, and their ratios. */
function formatSizes({ before, after, ratio }: SizeChange): string {
  const row = (label: string, a: string, b: string, share: number) => [label, a, b, formatPercent(100 * share, 1)];
  return formatTable(
    ['', 'before', 'after', 'left'],
    [
      row('parameters', formatInteger(before.parameters), formatInteger(after.parameters), ratio.parameters),
      row('file', formatFileSize(before), formatFileSize(after), ratio.onnxBytes),
      row('file, gzipped', formatByteSize(before.gzipBytes), formatByteSize(after.gzipBytes), ratio.gzipBytes),
      row('MACs', formatEngineering(before.multAdds), formatEngineering(after.multAdds), ratio.multAdds),
    ],
  );
}

/** Tells simplifications that only store a constant once: its name says nothing. */
const isConstantFold = ({ node }: { readonly node: string }) => node.startsWith(CONSTANT_PREFIX);

/** Writes layers, what was left unchanged, simplifications and sizes. */
function formatCompressionShape({ layers, refused, folds, size }: CompressionShape): string[] {
  const done = folds.filter(({ folded }) => folded);
  const constants = done.filter(isConstantFold).length;
  return [
    formatLayers(layers),
    ...describeRefusedLayers(refused).map((text) => `${text}.`),
    ...formatReasons(
      'Folded',
      done.filter((fold) => !isConstantFold(fold)).map(({ node, text }) => ({ name: node, reason: text })),
    ),
    ...(constants > 0 ? [`Folded: ${formatInteger(constants)} constants that are equal to others`] : []),
    '',
    formatSizes(size),
  ];
}

/** Writes the result of a compression without images for people. */
export function formatWeightCompression(result: Omit<WeightCompression, 'model'>): string {
  return [
    ...formatCompressionShape(result),
    '',
    'Predicted is half of the relative squared error of each weight; no image was seen.',
    `Took     ${result.seconds.toFixed(0)} s`,
    `Written to ${result.output}`,
  ].join('\n');
}

/** Writes what fine-tuning gained, and which epoch was kept. */
function formatFinetuning({ before, kept, top1Gain }: NonNullable<GoalCompression['finetuning']>): string {
  if (kept.epoch === 0) return 'Training did not help: the model before it is kept';
  const change = before && kept.validationTop1 !== undefined && top1Gain !== undefined;
  return `Training kept epoch ${kept.epoch}${change ? `: ${formatPercent(before.validationTop1)} → ${formatPercent(kept.validationTop1)}` : ''}`;
}

/** Writes the result of a compression to a goal for people. */
export function formatCompression(result: Omit<GoalCompression, 'model'>): string {
  const { accuracy, data, maps, speed } = result;
  return [
    ...formatCompressionShape(result),
    '',
    `${accuracy ? `Top-1    ${formatPercent(accuracy.before.top1)} → ${formatPercent(accuracy.after.top1)}` : `Same     ${formatPercent(result.agreement)} of the predictions, labels are not known,`} on ${formatInteger(data.validationImages)} images (${data.validation})`,
    ...(result.finetuning ? [formatFinetuning(result.finetuning)] : []),
    `Outputs  differ by ${formatPercent(100 * result.error)}, mean KL ${result.divergence.toPrecision(3)} nats (${sumPredictedDivergence(result.layers).toPrecision(2)} predicted)`,
    ...(maps ? [`Maps     correlate at ${formatAgreement(maps)} on ${maps.images} images (${maps.layer})`] : []),
    ...speed.map(
      (figures) =>
        `Speed    batch ${figures.batch}: ${formatMilliseconds(figures.beforeMs)} → ${formatMilliseconds(figures.afterMs)}, ${describeSpeed(figures)}`,
    ),
    `Took     ${result.seconds.toFixed(0)} s`,
    ...(result.control
      ? [
          `Control  dense, trained alike: ${result.control.accuracy ? formatPercent(result.control.accuracy.top1) : 'without labels'}${result.control.maps ? `, maps ${formatAgreement(result.control.maps)}` : ''}`,
        ]
      : []),
    ...(result.byHand
      ? [
          `By hand  ${result.byHand.name}: ${formatPercent(100 * result.byHand.size.ratio.parameters, 1)} of the parameters${result.byHand.accuracy ? `, ${formatPercent(result.byHand.accuracy.top1)}` : ''}`,
        ]
      : []),
    `Written to ${result.output}; report: ${result.page}`,
  ].join('\n');
}

/** Writes the result of a compression with given ranks for people. */
export function formatRankCompression(result: Omit<RankCompression, 'model'>): string {
  const { before, after, layers, output } = result;
  return [
    formatTable(
      ['layer', 'layout', 'ranks', 'parameters', 'error', 'bound', 'runs'],
      layers.map((layer) => [
        layer.name,
        layer.layout,
        layer.ranks.join(','),
        `${formatInteger(layer.parametersBefore)} → ${formatInteger(layer.parametersAfter)}`,
        formatPercent(100 * layer.error),
        formatPercent(100 * layer.bound),
        layer.execution,
      ]),
    ),
    ...layers.flatMap(({ name, clipped }) =>
      clipped.map(
        ({ bond, requested, kept }) =>
          `${name}: bond ${bond} was clipped from ${requested} to ${kept}, all that its unfolding allows.`,
      ),
    ),
    '',
    `Parameters ${formatInteger(before.parameters)} → ${formatInteger(after.parameters)} (${formatPercent((100 * after.parameters) / before.parameters, 1)}); trainable ${formatInteger(after.trainable)}, frozen ${formatInteger(after.frozen)}`,
    `Size       ${formatByteSize(before.sizeBytes)} → ${formatByteSize(after.sizeBytes)}`,
    `Written to ${output}`,
  ].join('\n');
}

/** Writes the points of a sweep for people. */
export function formatSweep({ before, points, control, page, seconds }: SweepResult): string {
  return [
    formatTable(
      ['parameters', 'left', 'gzip', 'mult-adds', 'top-1', 'lost', 'KL', 'maps', 'file'],
      [
        ['original', '', '', '', before ? formatPercent(before.top1) : '–', '', '', '', ''],
        ...points.map(({ limit, reached }) =>
          reached
            ? [
                formatInteger(reached.size.after.parameters),
                formatPercent(100 * reached.size.ratio.parameters, 1),
                formatPercent(100 * reached.size.ratio.gzipBytes, 1),
                formatPercent(100 * reached.size.ratio.multAdds, 1),
                reached.accuracy ? formatPercent(reached.accuracy.top1) : '–',
                reached.top1Drop?.toFixed(2) ?? '–',
                reached.divergence.toPrecision(3),
                reached.maps?.pearson?.mean.toFixed(3) ?? '–',
                reached.file ?? '–',
              ]
            : [formatInteger(limit), ...Array<string>(7).fill('–'), 'not reached'],
        ),
      ],
      { optional: ['gzip', 'mult-adds', 'KL', 'maps'] },
    ),
    ...points.flatMap(({ limit, smallest }) =>
      smallest === undefined
        ? []
        : [`${formatInteger(limit)} cannot be reached; the smallest is ${formatInteger(smallest)}.`],
    ),
    ...(control
      ? [`The original, trained alike: ${control.accuracy ? formatPercent(control.accuracy.top1) : 'without labels'}`]
      : []),
    '',
    `Took ${seconds.toFixed(0)} s. Report: ${page}`,
  ].join('\n');
}
