import type { Accuracy } from '../metrics/accuracy.js';
import { type Agreement, agreementText } from '../metrics/agreement.js';
import { isSameSpeed } from '../metrics/speed.js';

/** Sizes of one model. Bytes are those of the ONNX file, raw and gzipped. */
export interface SizeFigures {
  readonly parameters: number;
  readonly onnxBytes: number;
  readonly gzipBytes: number;
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
  readonly label: number;
  readonly labelName: string;
  readonly before: number;
  readonly beforeName: string;
  readonly after: number;
  readonly afterName: string;
}

/** Agreement of the two models' maps over the images that were explained with both. */
export interface MapFigures extends Agreement {
  readonly layer: string;
  /** Share of the maps whose peak lies inside the object's box, where boxes are known. */
  readonly pointingGame?: { readonly images: number; readonly before: number; readonly after: number };
}

/** Two models side by side: what `report.json` holds. */
export interface Comparison {
  /** One sentence for people. */
  readonly verdict: string;
  readonly models: { readonly before: string; readonly after: string };
  readonly data: string;
  readonly accuracy: {
    readonly before: Accuracy;
    readonly after: Accuracy;
    /** Points of top-1 lost; negative when gained. */
    readonly top1Drop: number;
    /** Images for which both predict the same, in percent. */
    readonly agreement: number;
  };
  readonly size: { readonly before: SizeFigures; readonly after: SizeFigures };
  readonly speed: readonly SpeedFigures[];
  readonly maps: MapFigures;
  readonly flips: readonly Flip[];
  readonly machine: { readonly cpu: string; readonly threads: number; readonly node: string };
}

/** One line of the table that puts the two models side by side, as text. */
export interface ComparisonRow {
  readonly label: string;
  readonly before: string;
  readonly after: string;
  /** After against before. */
  readonly change: string;
}

/** The table of accuracy, sizes and speed, the same in the report and on a terminal. */
export function comparisonRows({ accuracy, size, speed }: Comparison): ComparisonRow[] {
  const integer = (value: number) => value.toLocaleString('en-US');
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(2)} MB`;
  const row = (
    label: string,
    a: number,
    b: number,
    format: (value: number) => string,
    change: string,
  ): ComparisonRow => ({
    label,
    before: format(a),
    after: format(b),
    change,
  });
  const signed = (value: number, digits: number) => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(digits)}`;
  const rate = (label: string, of: (figures: Accuracy) => number) => {
    const [a, b] = [of(accuracy.before), of(accuracy.after)];
    return row(label, a, b, (value) => percent(value, 2), `${signed(b - a, 2)} points`);
  };
  const amount = (label: string, of: (figures: SizeFigures) => number, format: (value: number) => string) => {
    const [a, b] = [of(size.before), of(size.after)];
    return row(label, a, b, format, percent((100 * b) / a));
  };
  return [
    rate('top-1', (figures) => figures.top1),
    rate('top-5', (figures) => figures.top5),
    row(
      'negative log-likelihood',
      accuracy.before.nll,
      accuracy.after.nll,
      (value) => value.toFixed(4),
      signed(accuracy.after.nll - accuracy.before.nll, 4),
    ),
    amount('parameters', (figures) => figures.parameters, integer),
    amount('ONNX file', (figures) => figures.onnxBytes, megabytes),
    amount('ONNX file, gzip', (figures) => figures.gzipBytes, megabytes),
    amount('mult-adds per image', (figures) => figures.multAdds, integer),
    ...speed.map((figures) =>
      row(`latency, batch ${figures.batch}`, figures.beforeMs, figures.afterMs, milliseconds, describeSpeed(figures)),
    ),
  ];
}

/** Formats a latency with digits enough to see the ratio of two of them. */
export const milliseconds = (value: number): string => `${value < 1 ? value.toPrecision(3) : value.toFixed(2)} ms`;

/** Describes how fast the second model is: `1.17x the speed (95 % interval 1.10x to 1.24x)`, or `no difference (…)`. */
export function describeSpeed({ ratio, ratioInterval }: Pick<SpeedFigures, 'ratio' | 'ratioInterval'>): string {
  const times = (value: number) => `${(1 / value).toFixed(2)}x`;
  const [low, high] = ratioInterval;
  const interval = `(95 % interval ${times(high)} to ${times(low)})`;
  return isSameSpeed(ratioInterval) ? `no difference ${interval}` : `${times(ratio)} the speed ${interval}`;
}

const percent = (value: number, digits = 1) => `${value.toFixed(digits)} %`;

/** The comparison in one sentence. */
export function verdictOf(comparison: Omit<Comparison, 'verdict'>): string {
  const { accuracy, size, speed, maps } = comparison;
  const share = (100 * size.after.parameters) / size.before.parameters;
  const drop = accuracy.top1Drop;
  const accuracyPart =
    Math.abs(drop) < 0.005
      ? `top-1 unchanged at ${percent(accuracy.after.top1, 2)}`
      : `top-1 ${drop > 0 ? 'down' : 'up'} ${Math.abs(drop).toFixed(2)} points to ${percent(accuracy.after.top1, 2)}`;
  const first = speed[0];
  const speedPart = !first
    ? ''
    : isSameSpeed(first.ratioInterval)
      ? `, no difference in speed at batch ${first.batch}`
      : `, ${(1 / first.ratio).toFixed(2)}x the speed at batch ${first.batch}`;
  return (
    `${percent(share)} of the parameters and ${percent((100 * size.after.gzipBytes) / size.before.gzipBytes)} of the download, ` +
    `${accuracyPart}${speedPart}; the maps correlate ${agreementText(maps)} with the original's.`
  );
}
