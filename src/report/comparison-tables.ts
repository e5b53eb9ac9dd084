/** The tables of a comparison. */
import { pickWorst } from '../metrics/pick-worst.js';
import { buildComparisonRows, type Comparison, type Flip } from './comparison.js';
import { formatInteger, formatPercent } from './format.js';
import { makeTable, type Table } from './report-table.js';

/** How one layer was compressed. */
export interface LayerRow {
  readonly name: string;
  readonly layout: string;
  readonly outModes: readonly number[];
  readonly inModes: readonly number[];
  readonly ranks: readonly number[];
  readonly error: number;
  readonly bound: number;
  readonly parametersBefore: number;
  readonly parametersAfter: number;
  readonly execution: string;
}

/** Changed predictions that are listed; all are in report.json and in the CSV file. */
const LISTED_FLIPS = 60;
/** Title of the table of accuracy, sizes and speed, and of its section. */
export const FIGURES_TITLE = 'Accuracy, sizes and speed';

/** Lists accuracy, sizes and speed of both models. */
export function buildFiguresTable(comparison: Comparison): Table {
  const rows = buildComparisonRows(comparison);
  const { before, after } = comparison.models;
  return makeTable({
    name: 'figures',
    title: FIGURES_TITLE,
    header: ['', before, after, 'after against before'],
    rows: rows.map(({ label, before: a, after: b, change }) => [label, a, b, change]),
    data: {
      header: ['quantity', 'unit', before, after],
      rows: rows.map(({ label, raw }) => [label, raw.unit, raw.before, raw.after]),
    },
    notes: [
      'Latencies are medians of interleaved runs on random input; their intervals are 95 % bootstrap intervals of the ratio.',
    ],
  });
}

/** Lists layers that were compressed by ranks given by hand. */
export function buildLayersTable(layers: readonly LayerRow[]): Table {
  return makeTable({
    name: 'layers',
    title: 'Compressed layers',
    header: ['layer', 'layout', 'out × in modes', 'ranks', 'parameters', 'error', 'bound', 'runs'],
    rows: layers.map((layer) => [
      layer.name,
      layer.layout,
      `[${layer.outModes.join(', ')}] × [${layer.inModes.join(', ')}]`,
      `[${layer.ranks.join(', ')}]`,
      `${formatInteger(layer.parametersBefore)} → ${formatInteger(layer.parametersAfter)}`,
      formatPercent(100 * layer.error),
      formatPercent(100 * layer.bound),
      layer.execution,
    ]),
    notes: [
      'Error and bound: Frobenius norm of the difference, in percent of the norm of the weight (Oseledets 2011). Reconstructed: the dense weight is contracted when the model is loaded.',
    ],
  });
}

/** What a changed prediction lost of the probability of the class that was predicted before. */
const getProbabilityLoss = ({ probability: { before, after } }: Flip) => before - after;

/** Lists the worst of the changed predictions of every class. */
export function buildFlipsTable({ flips, models }: Comparison): Table {
  const listed = pickWorst(flips, LISTED_FLIPS, {
    group: ({ label, before }) => label ?? before,
    badness: getProbabilityLoss,
  });
  const formatName = (name: string, isRight: boolean) => `${name}${isRight ? ' ✓' : ''}`;
  return makeTable({
    name: 'changed-predictions',
    title: 'The largest loss of probability first',
    header: ['image', 'true label', models.before, models.after, 'probability'],
    rows: listed.map((flip) => [
      flip.file,
      flip.labelName ?? '–',
      formatName(flip.beforeName, flip.before === flip.label),
      formatName(flip.afterName, flip.after === flip.label),
      `${formatPercent(100 * flip.probability.before, 1)} → ${formatPercent(100 * flip.probability.after, 1)}`,
    ]),
    data: {
      header: ['image', 'true label', 'before', 'after', 'probability before', 'probability after'],
      rows: flips.map((flip) => [
        flip.file,
        flip.labelName,
        flip.beforeName,
        flip.afterName,
        flip.probability.before,
        flip.probability.after,
      ]),
    },
    notes: [
      'Probability: of the class that the first model predicts, by the first model → by the second. ✓: the true label.',
      ...(flips.length > listed.length
        ? [
            `${formatInteger(flips.length - listed.length)} more are in report.json; those above are the worst of every class in turn.`,
          ]
        : []),
    ],
  });
}
