/** A squeeze, or a sweep over sizes, as a page: size against accuracy, and what each bond was worth. */
import { chart, Plot } from './chart.js';
import { escapeHtml, page, section, table } from './page.js';

/** A model on the axes of size and accuracy. */
export interface CurvePoint {
  /** Parameters as a share of the original's, 0…1. */
  readonly size: number;
  /** Percent. */
  readonly top1: number;
  /** Mean correlation of the maps with the original's. */
  readonly maps?: number;
  readonly kind: 'original' | 'squeezed' | 'tried' | 'chosen' | 'by hand';
  readonly label?: string;
}

/** The singular spectra of a layer's bonds, and the ranks that they were cut to. */
export interface LayerSpectra {
  readonly path: string;
  /** `tucker2 24, 48`, or why it was left dense. */
  readonly choice: string;
  readonly spectra: readonly {
    /** `in | rest`. */
    readonly bond: string;
    /** Squared singular values in the metric of the data, the largest first. */
    readonly energies: readonly number[];
    readonly rank?: number;
  }[];
}

/** Everything a page shows. */
export interface SqueezePage {
  readonly title: string;
  readonly verdict: string;
  readonly curve: readonly CurvePoint[];
  readonly tables: readonly {
    readonly title: string;
    readonly header: readonly string[];
    readonly rows: readonly (readonly string[])[];
    readonly notes?: readonly string[];
  }[];
  readonly layers: readonly LayerSpectra[];
  /** Machine, data: what figures depend on. */
  readonly foot: string;
}

const colours = {
  original: '#1c2530',
  squeezed: '#2a6f97',
  tried: '#9aa7b4',
  chosen: '#b5442e',
  'by hand': '#e07a1f',
} as const;

/** Size against a figure of each point; squeezed ones are joined. */
function curveChart(
  points: readonly CurvePoint[],
  label: string,
  of: (point: CurvePoint) => number | undefined,
): string {
  const rows = points
    .flatMap((point) => {
      const value = of(point);
      return value === undefined ? [] : [{ ...point, percent: 100 * point.size, value }];
    })
    .sort((a, b) => a.size - b.size);
  const smallest = Math.min(...rows.map(({ percent }) => percent));
  const kinds = Object.keys(colours).filter((kind) => rows.some((row) => row.kind === kind));
  return chart({
    width: 640,
    height: 330,
    marginBottom: 42,
    marginRight: 30,
    x: {
      type: 'log',
      label: 'parameters, percent of the original →',
      domain: [0.85 * smallest, 112],
      tickFormat: '~r',
    },
    // Labels above points at the top stay clear of the axis' own.
    y: { label: `↑ ${label}`, grid: true, nice: true, insetTop: 20 },
    color: { legend: true, domain: kinds, range: kinds.map((kind) => colours[kind as keyof typeof colours]) },
    marks: [
      Plot.line(
        rows.filter(({ kind }) => kind !== 'by hand' && kind !== 'original'),
        { x: 'percent', y: 'value', stroke: '#c6ced8', strokeWidth: 1.5 },
      ),
      Plot.dot(rows, { x: 'percent', y: 'value', fill: 'kind', r: 5 }),
      Plot.text(
        rows.filter((row) => row.label !== undefined),
        { x: 'percent', y: 'value', text: 'label', dy: -12 },
      ),
    ],
  });
}

/** Spectra below this share of the largest are noise, and would flatten the picture. */
const LEAST_SHARE = 1e-7;

function spectrumChart({ spectra }: LayerSpectra): string {
  const rows = spectra.flatMap(({ bond, energies }) => {
    const largest = energies[0] ?? 0;
    return energies.flatMap((energy, k) =>
      energy > LEAST_SHARE * largest ? [{ bond, rank: k + 1, energy: energy / largest }] : [],
    );
  });
  const cuts = spectra.flatMap(({ bond, rank }) => (rank === undefined ? [] : [{ bond, rank }]));
  const bonds = spectra.map(({ bond }) => bond);
  const range = ['#2a6f97', '#7a9e3f', '#b5442e'].slice(0, bonds.length);
  return chart({
    width: 300,
    height: 190,
    marginBottom: 36,
    marginLeft: 46,
    x: { label: 'rank →', ticks: 5 },
    y: { type: 'log', label: '↑ energy, of the largest', ticks: 4, tickFormat: '~e', grid: true },
    color: { legend: true, domain: bonds, range },
    marks: [
      Plot.line(rows, { x: 'rank', y: 'energy', stroke: 'bond', z: 'bond', strokeWidth: 1.5 }),
      Plot.ruleX(cuts, { x: 'rank', stroke: 'bond', strokeDasharray: '4 3', strokeWidth: 1.5 }),
    ],
  });
}

/** The page as HTML that needs nothing from the network. */
export function squeezePage({ title, verdict, curve, tables, layers, foot }: SqueezePage): string {
  const drawn = layers.filter(({ spectra }) => spectra.length > 0);
  return page(title, verdict, [
    curve.length > 1
      ? section(
          'Size against what survived',
          '<div class="row">',
          curveChart(curve, 'top-1, %', ({ top1 }) => top1),
          curve.filter(({ maps }) => maps !== undefined).length > 1
            ? curveChart(curve, 'correlation of the maps', ({ maps }) => maps)
            : '',
          '</div>',
        )
      : '',
    ...tables.map(({ title: name, header, rows, notes = [] }) =>
      section(name, table(header, rows), ...notes.map((note) => `<p class="quiet">${escapeHtml(note)}</p>`)),
    ),
    drawn.length === 0
      ? ''
      : section(
          'What each bond is worth',
          '<p class="quiet">Squared singular values of the weights in the metric of the data: what a rank adds to the predicted loss. Dashed: the rank that was kept.</p>',
          `<div class="row">${drawn
            .map(
              (layer) =>
                `<figure>${spectrumChart(layer)}<figcaption><code>${escapeHtml(layer.path)}</code> ${escapeHtml(layer.choice)}</figcaption></figure>`,
            )
            .join('')}</div>`,
        ),
    `<p class="quiet">${escapeHtml(foot)}</p>`,
  ]);
}
