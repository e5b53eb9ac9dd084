import { describeRefusedLayers } from '../compression/refused-layers.js';
import type { CompressionFileReport } from '../compression-run/compress-to-goal.js';
import type { CompressionShape } from '../compression-run/compression-report.js';
import { formatLayerCells, LAYER_COLUMNS, sumPredictedDivergence } from '../compression-run/layer-cells.js';
import type { LayerFigures, SizeChange } from '../compression-run/size-figures.js';
import { groupByReason, listNames, type NameWithReason } from '../evaluation/group-reasons.js';
import { CONSTANT_PREFIX } from '../graph/parameters.js';
import { formatAgreement } from '../metrics/agreement.js';
import { describeSpeed, formatMilliseconds } from '../report/comparison.js';
import { formatByteSize, formatEngineering, formatInteger, formatPercent } from './output.js';
import { formatTable } from './terminal-table.js';

/** Columns of the layers that a narrow terminal leaves out, the first one first. */
const OPTIONAL_COLUMNS = ['gzip', 'bytes', 'mult-adds', 'latency', 'predicted'];

/** The table of the layers, and why those that stayed dense did. */
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

/** One line for each reason, with the layers that it applies to. */
function formatReasons(what: string, entries: readonly NameWithReason[]): string[] {
  return [...groupByReason(entries)].map(([reason, names]) => `${what}: ${listNames(names)} (${reason})`);
}

/** `0.02 MB float16`. */
const formatFileSize = ({ onnxBytes, dtype }: SizeChange['before']): string =>
  `${formatByteSize(onnxBytes)}${dtype === undefined ? '' : ` ${dtype}`}`;

/** Sizes before and after, each with its own ratio. */
function formatSizes({ before, after, ratio }: SizeChange): string {
  const row = (label: string, a: string, b: string, share: number) => [label, a, b, formatPercent(100 * share, 1)];
  return formatTable(
    ['', 'before', 'after', 'left'],
    [
      row('parameters', formatInteger(before.parameters), formatInteger(after.parameters), ratio.parameters),
      row('file', formatFileSize(before), formatFileSize(after), ratio.onnxBytes),
      row('file, gzipped', formatByteSize(before.gzipBytes), formatByteSize(after.gzipBytes), ratio.gzipBytes),
      row('multiply-adds', formatEngineering(before.multAdds), formatEngineering(after.multAdds), ratio.multAdds),
    ],
  );
}

/** Whether a fold only stores a constant once, which no one knows by name. */
const isConstantFold = ({ node }: { readonly node: string }) => node.startsWith(CONSTANT_PREFIX);

/** Layers, what was left alone and what was folded, sizes. */
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

/** What a squeeze without images came to, for people. */
export function formatCompressionWithoutImages(result: CompressionShape & { readonly output: string }): string {
  return [
    ...formatCompressionShape(result),
    '',
    'Predicted is half of the relative squared error of each weight; no image was seen.',
    `Took     ${result.seconds.toFixed(0)} s`,
    `Written to ${result.output}`,
  ].join('\n');
}

/** What fine-tuning gained, and which epoch was kept. */
function formatFinetuning({ before, kept, top1Gain }: NonNullable<CompressionFileReport['finetuning']>): string {
  if (kept.epoch === 0) return 'Training did not help: the model before it is kept';
  const change = before && kept.validationTop1 !== undefined && top1Gain !== undefined;
  return `Training kept epoch ${kept.epoch}${change ? `: ${formatPercent(before.validationTop1)} → ${formatPercent(kept.validationTop1)}` : ''}`;
}

/** What a squeeze came to, for people. */
export function formatCompression(result: CompressionFileReport): string {
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
