import type { Comparison } from '../report/comparison.js';
import { engineering, integer, megabytes, percent, table } from './output.js';

/** A comparison for a terminal: the verdict, and the table behind it. */
export function comparisonText(comparison: Comparison): string {
  const { accuracy, size, speed, maps, flips, models } = comparison;
  const ratio = (a: number, b: number) => percent((100 * b) / a, 1);
  const points = (a: number, b: number) => `${b >= a ? '+' : '−'}${Math.abs(b - a).toFixed(2)} points`;
  const pointing = maps.pointingGame;
  return [
    comparison.verdict,
    '',
    table(
      ['', models.before, models.after, 'after / before'],
      [
        [
          'top-1',
          percent(accuracy.before.top1),
          percent(accuracy.after.top1),
          points(accuracy.before.top1, accuracy.after.top1),
        ],
        [
          'top-5',
          percent(accuracy.before.top5),
          percent(accuracy.after.top5),
          points(accuracy.before.top5, accuracy.after.top5),
        ],
        ['NLL', accuracy.before.nll.toFixed(4), accuracy.after.nll.toFixed(4), ''],
        [
          'parameters',
          integer(size.before.parameters),
          integer(size.after.parameters),
          ratio(size.before.parameters, size.after.parameters),
        ],
        [
          'ONNX',
          megabytes(size.before.onnxBytes),
          megabytes(size.after.onnxBytes),
          ratio(size.before.onnxBytes, size.after.onnxBytes),
        ],
        [
          'ONNX, gzip',
          megabytes(size.before.gzipBytes),
          megabytes(size.after.gzipBytes),
          ratio(size.before.gzipBytes, size.after.gzipBytes),
        ],
        [
          'mult-adds',
          engineering(size.before.multAdds),
          engineering(size.after.multAdds),
          ratio(size.before.multAdds, size.after.multAdds),
        ],
        ...speed.map((s) => [
          `latency, batch ${s.batch}`,
          `${s.beforeMs.toFixed(2)} ms`,
          `${s.afterMs.toFixed(2)} ms`,
          `${(1 / s.ratio).toFixed(2)}x speed`,
        ]),
      ],
    ),
    '',
    `Maps at ${maps.layer}: correlation ${maps.pearson.mean.toFixed(3)} in the mean of ${maps.images} images, ${maps.pearson.min.toFixed(3)} at the least`,
    ...(pointing
      ? [
          `Pointing game: the map's peak is inside the object's box for ${percent(100 * pointing.before, 1)} of the images before, ${percent(100 * pointing.after, 1)} after`,
        ]
      : []),
    `Predictions that flipped: ${flips.length} of ${accuracy.after.images}`,
  ].join('\n');
}
