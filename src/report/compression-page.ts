/** A compressed model, or a sweep over sizes, as a page: size against accuracy, and what each rank adds. */
import { drawChart, Plot } from './chart.js';
import type { Chart } from './chart-html.js';
import type { Provenance } from './provenance-html.js';
import { type KeyFigure, makeReport, type Report, renderParagraph } from './report-page.js';
import { makeTable, type TableContent } from './report-table.js';
import { MARK, MUTED, SERIES } from './style.js';

/** A model on the axes of size and accuracy. */
export interface CurvePoint {
  /** Parameters as a share of the original's, 0…1. */
  readonly parameterShare: number;
  /** Percent; absent where the images have no labels. */
  readonly top1?: number;
  /** Mean correlation of the maps with the original's. */
  readonly maps?: number;
  readonly kind: 'original' | 'compressed' | 'tried' | 'chosen' | 'by hand';
  readonly label?: string;
}

/** Holds the singular spectra of a layer's unfoldings, and the ranks that they were cut to. */
export interface LayerSpectra {
  readonly path: string;
  /** `tucker2 24, 48`, or why it was left dense. */
  readonly choice: string;
  readonly spectra: readonly {
    /** `in | rest`. */
    readonly unfolding: string;
    /** Squared singular values in the metric of the data, the largest first. */
    readonly energies: readonly number[];
    readonly rank?: number;
  }[];
}

/** Everything a page shows. */
export interface CompressionPage {
  readonly title: string;
  readonly verdict: string;
  readonly warnings: readonly string[];
  readonly keys: readonly KeyFigure[];
  readonly curve: readonly CurvePoint[];
  readonly tables: readonly TableContent[];
  readonly layers: readonly LayerSpectra[];
  /** Remarks on how figures were measured. */
  readonly notes: readonly string[];
  readonly provenance: Provenance;
}

const pointColours = {
  original: 'var(--ink, #1b2430)',
  compressed: SERIES[0],
  tried: MUTED,
  chosen: MARK,
  'by hand': SERIES[1],
} as const;
/** What kinds of points are called in a legend. */
const pointKindNames = {
  original: 'original',
  compressed: 'compressed',
  tried: 'tried',
  chosen: 'chosen',
  'by hand': 'ranks by hand',
} as const;

/** Draws size against a figure of each point; compressed ones are joined. */
function drawCurveChart(
  points: readonly CurvePoint[],
  content: { readonly name: string; readonly title: string; readonly note: string; readonly axis: string },
  read: (point: CurvePoint) => number | undefined,
): Chart {
  const { axis, ...rest } = content;
  const rows = points
    .flatMap((point) => {
      const value = read(point);
      return value === undefined ? [] : [{ ...point, percent: 100 * point.parameterShare, value }];
    })
    .sort((a, b) => a.parameterShare - b.parameterShare);
  const smallest = Math.min(...rows.map(({ percent }) => percent));
  const kinds = (Object.keys(pointColours) as CurvePoint['kind'][]).filter((kind) =>
    rows.some((row) => row.kind === kind),
  );
  return drawChart({
    ...rest,
    legend: kinds.map((kind) => ({ label: pointKindNames[kind], color: pointColours[kind] })),
    data: {
      header: ['point', 'label', 'parameters, percent of the original', axis],
      rows: rows.map(({ kind, label, percent, value }) => [pointKindNames[kind], label, percent, value]),
    },
    plot: {
      height: 290,
      marginBottom: 38,
      marginRight: 36,
      x: {
        type: 'log',
        label: 'parameters, percent of the original →',
        domain: [0.85 * smallest, 118],
        tickFormat: '~r',
        ticks: 5,
      },
      // Labels above points at the top stay clear of the label of the axis.
      y: { label: `↑ ${axis}`, grid: true, nice: true, insetTop: 20 },
      color: { domain: kinds, range: kinds.map((kind) => pointColours[kind]) },
      marks: [
        Plot.line(
          rows.filter(({ kind }) => kind !== 'by hand' && kind !== 'original'),
          { x: 'percent', y: 'value', stroke: MUTED, strokeWidth: 1.5 },
        ),
        Plot.dot(rows, { x: 'percent', y: 'value', fill: 'kind', r: 4.5 }),
        Plot.text(
          rows.filter((row) => row.label !== undefined),
          {
            x: 'percent',
            y: 'value',
            text: 'label',
            dy: -12,
            stroke: 'var(--ground, #ffffff)',
            strokeWidth: 4,
            fill: 'currentColor',
          },
        ),
      ],
    },
  });
}

/** Spectra below this share of the largest are noise, and would flatten the picture. */
const LEAST_ENERGY_SHARE = 1e-7;

/** A name for the files of a layer's chart. */
const toFileName = (path: string) => path.replace(/[^\w.-]+/g, '-');

function drawSpectrumChart({ path, choice, spectra }: LayerSpectra): Chart {
  const shares = spectra.map(({ unfolding, energies }) => {
    const [largest = 0] = energies;
    return { unfolding, energies: energies.map((energy) => energy / largest) };
  });
  const rows = shares.flatMap(({ unfolding, energies }) =>
    energies.flatMap((energy, k) => (energy > LEAST_ENERGY_SHARE ? [{ unfolding, rank: k + 1, energy }] : [])),
  );
  const cuts = spectra.flatMap(({ unfolding, rank }) => (rank === undefined ? [] : [{ unfolding, rank }]));
  const legend = spectra.map(({ unfolding }, k) => ({
    label: unfolding,
    color: SERIES[k % SERIES.length] ?? SERIES[0],
  }));
  return drawChart({
    name: `spectrum-${toFileName(path)}`,
    title: path,
    note: choice,
    description: `Spectrum of ${path}: squared singular values by rank, relative to the largest. ${choice}.`,
    legend,
    data: {
      header: ['unfolding', 'rank', 'energy, of the largest', 'kept'],
      rows: shares.flatMap(({ unfolding, energies }, k) =>
        energies.map((energy, at) => [unfolding, at + 1, energy, at < (spectra[k]?.rank ?? energies.length) ? 1 : 0]),
      ),
    },
    plot: {
      width: 300,
      height: 180,
      marginBottom: 34,
      marginLeft: 44,
      x: { label: 'rank →', ticks: 5 },
      y: { type: 'log', label: '↑ energy / largest', ticks: 4, tickFormat: '~e', grid: true },
      color: { domain: legend.map(({ label }) => label), range: legend.map(({ color }) => color) },
      marks: [
        Plot.line(rows, { x: 'rank', y: 'energy', stroke: 'unfolding', z: 'unfolding', strokeWidth: 1.5 }),
        Plot.ruleX(cuts, { x: 'rank', stroke: 'unfolding', strokeDasharray: '4 3', strokeWidth: 1.5 }),
      ],
    },
  });
}

/** Points below which there is no curve to see: the original and one other. */
const FEWEST_CURVE_POINTS = 3;

function drawCurveCharts(curve: readonly CurvePoint[]): Chart[] {
  if (curve.length < FEWEST_CURVE_POINTS) return [];
  const accuracy = () =>
    drawCurveChart(
      curve,
      {
        name: 'size-top-1',
        title: 'Accuracy by size',
        note: 'Top-1 in percent; sizes on a log scale.',
        axis: 'top-1, %',
      },
      ({ top1 }) => top1,
    );
  const measured = (of: (point: CurvePoint) => number | undefined) =>
    curve.filter((point) => of(point) !== undefined).length;
  const charts = measured(({ top1 }) => top1) < 2 ? [] : [accuracy()];
  if (measured(({ maps }) => maps) < 2) return charts;
  const content = {
    name: 'size-maps',
    title: 'Agreement of the maps by size',
    note: "Mean of Pearson's correlation with the original's maps (no unit).",
    axis: 'correlation',
  };
  return [...charts, drawCurveChart(curve, content, ({ maps }) => maps)];
}

/** Makes the report of a compressed model or of a sweep. */
export function makeCompressionReport(content: CompressionPage): Report {
  const { title, verdict, warnings, keys, curve, tables, layers, notes, provenance } = content;
  const curves = drawCurveCharts(curve);
  const spectra = layers.filter(({ spectra: found }) => found.length > 0).map(drawSpectrumChart);
  return makeReport({
    title,
    verdict,
    warnings,
    keyFigures: keys,
    provenance,
    sections: [
      {
        title: 'Size against accuracy and maps',
        blocks: curves.length === 0 ? [] : [{ kind: 'charts', charts: curves }],
      },
      ...tables
        .filter(({ rows }) => rows.length > 0)
        .map((table) => ({ title: table.title, blocks: [makeTable(table)] })),
      {
        title: 'What each rank adds',
        blocks:
          spectra.length === 0
            ? []
            : [
                renderParagraph(
                  'Squared singular values of the weights in the metric of the data, relative to the largest (no unit): what a rank adds to the predicted loss. Dashed: the rank that was kept.',
                  true,
                ),
                { kind: 'charts', charts: spectra, small: true },
              ],
      },
      { title: 'How this was measured', blocks: notes.map((note) => renderParagraph(note)) },
    ],
  });
}
