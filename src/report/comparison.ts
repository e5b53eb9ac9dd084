import type { Accuracy } from '../metrics/accuracy.js';
import type { Agreement } from '../metrics/agreement.js';
import { isSameSpeed } from '../metrics/speed.js';
import { formatInteger, formatMegabytes, formatPercent, formatSigned } from './format.js';
import type { Provenance } from './provenance-html.js';

/**
 * Sizes of one model. Bytes are those of the files that it was read from, or of the ONNX file that is written of it, raw
 * and gzipped.
 */
export interface SizeFigures {
  readonly parameters: number;
  readonly onnxBytes: number;
  readonly gzipBytes: number;
  /** The element type that most bytes of the weights are in: `float16`. */
  readonly dtype?: string;
  /** For one image. */
  readonly multAdds: number;
}

/** Latency of both models at one batch size: medians of interleaved runs, in milliseconds. */
export interface SpeedFigures {
  readonly batch: number;
  readonly runs: number;
  readonly beforeMs: number;
  readonly afterMs: number;
  /** `afterMs / beforeMs`: below 1 is faster. */
  readonly ratio: number;
  /** 95 % confidence interval of `ratio`; where it contains 1, no difference was found. */
  readonly ratioInterval: readonly [low: number, high: number];
}

/** An image whose prediction changed. */
export interface Flip {
  readonly file: string;
  /** The true class and its name; none for images without labels. */
  readonly label?: number;
  readonly labelName?: string;
  readonly before: number;
  readonly beforeName: string;
  readonly after: number;
  readonly afterName: string;
  /** Probability of class `before` by the first model and by the second, 0…1. */
  readonly probability: { readonly before: number; readonly after: number };
}

/** How many predictions the two models share. */
export interface PredictionFigures {
  readonly images: number;
  /** Images for which both predict the same class. */
  readonly same: number;
  /** The same in percent. */
  readonly agreement: number;
  /**
   * The others by what the change did: a right prediction lost, one gained, one wrong class for another. None for images
   * without labels.
   */
  readonly changed?: { readonly lost: number; readonly gained: number; readonly wrong: number };
}

/** Agreement of the two models' maps over the images that were explained with both. */
export interface MapFigures extends Agreement {
  readonly layer: string;
  /** The image whose maps agree least; none where the agreement is defined for no image. */
  readonly lowest?: { readonly file: string; readonly correlation: number };
  /** Share of the maps whose peak lies inside the object's box, where boxes are known. */
  readonly pointingGame?: { readonly images: number; readonly before: number; readonly after: number };
}

/** Two models side by side: what `report.json` holds. */
export interface Comparison {
  /** A few sentences for people. */
  readonly verdict: string;
  /** What was warned of while the models were compared. */
  readonly warnings: readonly string[];
  readonly models: { readonly before: string; readonly after: string };
  readonly data: string;
  /** The part of the data set, such as `test`; `null` where it has none. */
  readonly part: string | null;
  /** None for images without labels. */
  readonly accuracy?: {
    readonly before: Accuracy;
    readonly after: Accuracy;
    /** Points of top-1 lost; negative when gained. */
    readonly top1Drop: number;
    /** Why the first model's accuracy says nothing on this data, where it does not. */
    readonly doubt?: string;
  };
  readonly predictions: PredictionFigures;
  readonly size: { readonly before: SizeFigures; readonly after: SizeFigures };
  readonly speed: readonly SpeedFigures[];
  readonly maps: MapFigures;
  /** The largest loss of probability first. */
  readonly flips: readonly Flip[];
  readonly provenance: Provenance;
}

/** One line of the table that puts the two models side by side. */
export interface ComparisonRow {
  readonly label: string;
  readonly before: string;
  readonly after: string;
  /** After against before. */
  readonly change: string;
  /** The same as numbers, in a unit. */
  readonly raw: { readonly before: number; readonly after: number; readonly unit: string };
}

function buildRow(
  label: string,
  unit: string,
  [before, after]: readonly [number, number],
  format: (value: number) => string,
  change: string,
): ComparisonRow {
  return { label, before: format(before), after: format(after), change, raw: { before, after, unit } };
}

function buildAccuracyRows({ before, after }: NonNullable<Comparison['accuracy']>): ComparisonRow[] {
  const buildRateRow = (label: string, key: 'top1' | 'top5') =>
    buildRow(
      label,
      'percent',
      [before[key], after[key]],
      formatPercent,
      `${formatSigned(after[key] - before[key], 2)} points`,
    );
  const formatNats = (value: number) => value.toFixed(4);
  return [
    buildRateRow('top-1', 'top1'),
    buildRateRow('top-5', 'top5'),
    buildRow(
      'negative log-likelihood',
      'nats',
      [before.nll, after.nll],
      formatNats,
      formatSigned(after.nll - before.nll, 4),
    ),
  ];
}

/** The table of accuracy, sizes and speed, the same in the report and on a terminal. */
export function buildComparisonRows({ accuracy, size, speed }: Comparison): ComparisonRow[] {
  const buildAmountRow = (
    label: string,
    unit: string,
    of: (figures: SizeFigures) => number,
    format: (value: number) => string,
  ) => {
    const pair = [of(size.before), of(size.after)] as const;
    return buildRow(label, unit, pair, format, formatPercent((100 * pair[1]) / pair[0], 1));
  };
  return [
    ...(accuracy ? buildAccuracyRows(accuracy) : []),
    buildAmountRow('parameters', 'count', (figures) => figures.parameters, formatInteger),
    buildAmountRow('ONNX file', 'bytes', (figures) => figures.onnxBytes, formatMegabytes),
    buildAmountRow('ONNX file, gzip', 'bytes', (figures) => figures.gzipBytes, formatMegabytes),
    buildAmountRow('MACs per image', 'count', (figures) => figures.multAdds, formatInteger),
    ...speed.map((figures) =>
      buildRow(
        `latency, batch ${figures.batch}`,
        'milliseconds',
        [figures.beforeMs, figures.afterMs],
        formatMilliseconds,
        describeSpeed(figures),
      ),
    ),
  ];
}

/** Formats a latency with digits enough to see the ratio of two of them. */
export const formatMilliseconds = (value: number): string =>
  `${value < 1 ? value.toPrecision(3) : value.toFixed(2)} ms`;

const formatSpeedup = (value: number): string => `${value > 10 ? (1 / value).toPrecision(2) : (1 / value).toFixed(2)}x`;

/** How fast the second model is, without its interval: `1.17x the speed`, or `no difference`. */
export function formatSpeed({ ratio, ratioInterval }: Pick<SpeedFigures, 'ratio' | 'ratioInterval'>): string {
  return isSameSpeed(ratioInterval) ? 'no difference' : `${formatSpeedup(ratio)} the speed`;
}

/** Describes how fast the second model is: `1.17x the speed (95 % interval 1.10x to 1.24x)`, or `no difference (…)`. */
export function describeSpeed(figures: Pick<SpeedFigures, 'ratio' | 'ratioInterval'>): string {
  const [low, high] = figures.ratioInterval;
  return `${formatSpeed(figures)} (95 % interval ${formatSpeedup(high)} to ${formatSpeedup(low)})`;
}
