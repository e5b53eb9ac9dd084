import { describeConstantMaps } from '../metrics/agreement.js';
import { buildComparisonRows, type Comparison, type MapFigures } from '../report/comparison.js';
import { formatDecimal } from '../report/format.js';
import { formatPercent } from './output.js';
import { formatTable } from './terminal-table.js';

function formatMapFigures({ layer, images, pearson, lowest }: MapFigures): string {
  if (!pearson) return `Maps at ${layer}, ${images} images: the agreement is not defined`;
  const least = lowest ? `, lowest ${formatDecimal(lowest.correlation)} (${lowest.file})` : '';
  return `Maps at ${layer}, ${images} images: correlation ${formatDecimal(pearson.mean)} on average, median ${formatDecimal(pearson.median)}${least}`;
}

/** Formats a comparison for a terminal: the verdict, then the table of figures. */
export function formatComparison(comparison: Comparison): string {
  const { accuracy, maps, flips, models, predictions } = comparison;
  const changed = accuracy?.doubt === undefined ? predictions.changed : undefined;
  const pointing = maps.pointingGame;
  return [
    comparison.verdict,
    '',
    formatTable(
      ['', models.before, models.after, 'after / before'],
      buildComparisonRows(comparison).map(({ label, before, after, change }) => [label, before, after, change]),
    ),
    '',
    formatMapFigures(maps),
    ...(describeConstantMaps(maps) === undefined ? [] : [`${describeConstantMaps(maps)}.`]),
    ...(pointing
      ? [
          `Pointing game: the map's peak is inside the object's box for ${formatPercent(100 * pointing.before, 1)} of the images before, ${formatPercent(100 * pointing.after, 1)} after`,
        ]
      : []),
    `Changed predictions: ${flips.length} of ${predictions.images}${changed ? ` (${changed.lost} were right, ${changed.gained} are right now, ${changed.wrong} are wrong in another way)` : ''}`,
  ].join('\n');
}
