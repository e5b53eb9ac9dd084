/** The charts of a comparison. */
import { drawChart, Plot } from './chart.js';
import type { Chart } from './chart-html.js';
import type { Comparison } from './comparison.js';
import { formatCount, formatPercent } from './format.js';
import { MARK, MUTED, SERIES } from './style.js';

/** The maps of one image, as the chart of their agreement needs them. */
export interface MapCorrelation {
  readonly file: string;
  /** The class that both maps explain: the first model's prediction. */
  readonly className: string;
  /** None where a map is constant. */
  readonly correlation?: number;
}

/** Widths of the bins of the histogram of correlations: the first that gives at most so many bins. Fewer than ten would be a block. */
const BINS = { widths: [0.01, 0.02, 0.05, 0.1, 0.2], most: 25, fewest: 10 } as const;

/** Draws what is left of the first model's sizes and latencies. */
export function drawSizeChart({ size: { before, after }, speed }: Comparison): Chart {
  const share = (key: Exclude<keyof typeof before, 'dtype'>) => (100 * after[key]) / before[key];
  const rows = [
    { what: 'parameters', share: share('parameters') },
    { what: 'file', share: share('onnxBytes') },
    { what: 'file, gzip', share: share('gzipBytes') },
    { what: 'MACs', share: share('multAdds') },
    ...speed.map(({ batch, ratio, ratioInterval: [low, high] }) => ({
      what: `latency, batch ${batch}`,
      share: 100 * ratio,
      low: 100 * low,
      high: 100 * high,
    })),
  ];
  const ends = rows.flatMap((row) => ('high' in row ? [{ ...row }] : []));
  const most = Math.max(100, ...rows.map((row) => Math.max(row.share, 'high' in row ? row.high : 0)));
  return drawChart({
    name: 'left-of-the-original',
    title: 'What is left of the original',
    note: 'In percent of the first model; dashed: 100 %. Lines on latencies are 95 % intervals.',
    data: {
      header: ['quantity', 'percent of the original', 'interval from', 'interval to'],
      rows: rows.map((row) => [row.what, row.share, ...('high' in row ? [row.low, row.high] : [undefined, undefined])]),
    },
    plot: {
      height: 28 * rows.length + 52,
      marginBottom: 38,
      marginLeft: 126,
      x: { label: 'percent of the original →', domain: [0, most * 1.16], grid: true, ticks: 5 },
      y: { label: null, domain: rows.map(({ what }) => what) },
      marks: [
        Plot.barX(rows, { y: 'what', x: 'share', fill: SERIES[0], insetTop: 2, insetBottom: 2 }),
        Plot.ruleX([100], { stroke: MARK, strokeDasharray: '4 3' }),
        Plot.ruleY(ends, { y: 'what', x1: 'low', x2: 'high', strokeWidth: 1.5 }),
        Plot.text(rows, {
          y: 'what',
          x: (row: (typeof rows)[number]) => Math.max(row.share, 'high' in row ? row.high : 0),
          text: (row: (typeof rows)[number]) => formatPercent(row.share, 1),
          dx: 6,
          textAnchor: 'start',
          stroke: 'var(--ground, #ffffff)',
          strokeWidth: 4,
          fill: 'currentColor',
        }),
      ],
    },
  });
}

/** Counts correlations in bins that begin at or below the lowest and end at 1. */
export function binCorrelations(correlations: readonly number[]): { from: number; to: number; count: number }[] {
  const lowest = Math.min(...correlations, 1);
  const width =
    BINS.widths.find((each) => (1 - lowest) / each <= BINS.most) ?? BINS.widths[BINS.widths.length - 1] ?? 1;
  const bins = Math.max(BINS.fewest, Math.ceil((1 - lowest) / width - 1e-9));
  const edge = (k: number) => 1 - (bins - k) * width;
  const counts = new Array<number>(bins).fill(0);
  for (const r of correlations) {
    const bin = Math.min(bins - 1, Math.max(0, Math.floor((r - edge(0)) / width + 1e-9)));
    counts[bin] = (counts[bin] ?? 0) + 1;
  }
  return counts.map((count, k) => ({ from: edge(k), to: edge(k + 1), count }));
}

/** Draws how many images have maps of which correlation. */
export function drawCorrelationChart(pairs: readonly MapCorrelation[], layer: string): Chart {
  const bins = binCorrelations(pairs.flatMap(({ correlation }) => (correlation === undefined ? [] : [correlation])));
  const most = Math.max(1, ...bins.map(({ count }) => count));
  return drawChart({
    name: 'map-correlations',
    title: 'Agreement of the maps',
    note: `Pearson's correlation (no unit) of the two maps of an image at ${layer}; ${formatCount(pairs.length, 'image')}.`,
    data: {
      header: ['image', 'class', 'correlation'],
      rows: pairs.map(({ file, className, correlation }) => [file, className, correlation]),
    },
    plot: {
      height: 230,
      marginBottom: 38,
      x: { label: 'correlation →', domain: [bins[0]?.from ?? 0, 1], ticks: 6 },
      y: { label: '↑ images', grid: true, domain: [0, most], tickFormat: 'd', ticks: Math.min(most, 5) },
      marks: [
        Plot.rectY(bins, { x1: 'from', x2: 'to', y: 'count', fill: SERIES[0], inset: 0.5 }),
        Plot.ruleY([0], { stroke: MUTED }),
      ],
    },
  });
}
