import { agreementText, constantMapsText } from '../metrics/agreement.js';
import { type Comparison, comparisonRows } from '../report/comparison.js';
import { percent, table } from './output.js';

/** A comparison for a terminal: the verdict, and the table behind it. */
export function comparisonText(comparison: Comparison): string {
  const { accuracy, maps, flips, models } = comparison;
  const pointing = maps.pointingGame;
  return [
    comparison.verdict,
    '',
    table(
      ['', models.before, models.after, 'after / before'],
      comparisonRows(comparison).map(({ label, before, after, change }) => [label, before, after, change]),
    ),
    '',
    `Maps at ${maps.layer}: ${maps.pearson ? `correlation ${maps.pearson.mean.toFixed(3)} in the mean of ${maps.images - maps.undefined} images, ${maps.pearson.min.toFixed(3)} at the least` : `correlation ${agreementText(maps)}`}`,
    ...(constantMapsText(maps) === undefined ? [] : [`${constantMapsText(maps)}.`]),
    ...(pointing
      ? [
          `Pointing game: the map's peak is inside the object's box for ${percent(100 * pointing.before, 1)} of the images before, ${percent(100 * pointing.after, 1)} after`,
        ]
      : []),
    `Predictions that flipped: ${flips.length} of ${accuracy.after.images}`,
  ].join('\n');
}
