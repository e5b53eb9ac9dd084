import { describeConstantMaps } from '../metrics/agreement.js';
import { type Comparison, comparisonRows, type MapFigures } from '../report/comparison.js';
import { decimal } from '../report/format.js';
import { percent } from './output.js';
import { table } from './table.js';

function mapsText({ layer, images, pearson, lowest }: MapFigures): string {
  if (!pearson) return `Maps at ${layer}, ${images} images: the agreement is not defined`;
  const least = lowest ? `, lowest ${decimal(lowest.correlation)} (${lowest.file})` : '';
  return `Maps at ${layer}, ${images} images: correlation ${decimal(pearson.mean)} on average, median ${decimal(pearson.median)}${least}`;
}

/** A comparison for a terminal: the verdict, and the table behind it. */
export function comparisonText(comparison: Comparison): string {
  const { accuracy, maps, flips, models, predictions } = comparison;
  const changed = accuracy?.doubt === undefined ? predictions.changed : undefined;
  const pointing = maps.pointingGame;
  return [
    comparison.verdict,
    '',
    table(
      ['', models.before, models.after, 'after / before'],
      comparisonRows(comparison).map(({ label, before, after, change }) => [label, before, after, change]),
    ),
    '',
    mapsText(maps),
    ...(describeConstantMaps(maps) === undefined ? [] : [`${describeConstantMaps(maps)}.`]),
    ...(pointing
      ? [
          `Pointing game: the map's peak is inside the object's box for ${percent(100 * pointing.before, 1)} of the images before, ${percent(100 * pointing.after, 1)} after`,
        ]
      : []),
    `Changed predictions: ${flips.length} of ${predictions.images}${changed ? ` (${changed.lost} were right, ${changed.gained} are right now, ${changed.wrong} are wrong in another way)` : ''}`,
  ].join('\n');
}
