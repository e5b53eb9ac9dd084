import { formatAgreement } from '../metrics/agreement.js';
import { isSameSpeed } from '../metrics/speed.js';
import type { Comparison, MapFigures } from './comparison.js';
import { formatDecimal, formatInteger, formatPercent } from './format.js';

/** Change of top-1, in points, that two decimals show as none. */
const NO_CHANGE = 0.005;

function describeAccuracy({ accuracy }: Pick<Comparison, 'accuracy'>): string {
  if (!accuracy) return 'The images have no labels: the accuracy was not measured.';
  const { before, after, top1Drop: drop, doubt: problem } = accuracy;
  if (problem !== undefined) {
    return `Its accuracy is not meaningful on these images (top-1 ${formatPercent(before.top1)} before, ${formatPercent(after.top1)} after): ${problem}.`;
  }
  if (Math.abs(drop) < NO_CHANGE) return `Top-1 is unchanged at ${formatPercent(after.top1)}.`;
  return `Top-1 ${drop > 0 ? 'falls' : 'rises'} ${Math.abs(drop).toFixed(2)} points to ${formatPercent(after.top1)}.`;
}

/** Describes the agreement of the maps in a sentence. */
export function describeMaps(maps: MapFigures): string {
  const { pearson, lowest } = maps;
  if (!pearson) return `The agreement of the maps is ${formatAgreement(maps)}.`;
  const least = lowest ? `, ${formatDecimal(lowest.correlation)} at the lowest (${lowest.file})` : '';
  const apart = maps.undefined > 0 ? `, without ${maps.undefined} of ${maps.images} images with a constant map` : '';
  return `The maps correlate ${formatDecimal(pearson.mean)} with the original's on average${least}${apart}.`;
}

/** The comparison in a few sentences: what is left, what is predicted, how well, and what is looked at. */
export function describeVerdict(comparison: Omit<Comparison, 'verdict'>): string {
  const { size, speed, predictions, maps } = comparison;
  const share = formatPercent((100 * size.after.parameters) / size.before.parameters, 1);
  const file = formatPercent((100 * size.after.onnxBytes) / size.before.onnxBytes, 1);
  const [first] = speed;
  const speedPart = !first
    ? ''
    : isSameSpeed(first.ratioInterval)
      ? `, with no difference in speed at batch ${first.batch}`
      : `, at ${(1 / first.ratio).toFixed(2)}x the speed at batch ${first.batch}`;
  const { same, images, agreement } = predictions;
  return [
    `${share} of the parameters and ${file} of the file are left${speedPart}.`,
    same === images
      ? `All ${formatInteger(images)} predictions are the same.`
      : `${formatInteger(images - same)} of ${formatInteger(images)} predictions changed (${formatPercent(agreement, 1)} are the same).`,
    describeAccuracy(comparison),
    describeMaps(maps),
  ].join(' ');
}
