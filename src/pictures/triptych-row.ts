import type { ExplainedImage } from '../evaluation/explain-images.js';
import type { TriptychRow } from './triptych.js';

/** Builds the row of a triptych figure for an explained image. */
export function buildTriptychRow(explained: ExplainedImage, note?: string): TriptychRow {
  const { probability, targetProbability, targetScore, isZero } = explained;
  const percent = (value: number) => `${(100 * value).toFixed(1)} %`;
  const why =
    explained.target === explained.predicted || probability === null
      ? ''
      : ` · predicted: ${explained.predictedName} (${percent(probability)})`;
  const score = targetProbability === null ? targetScore.toPrecision(4) : percent(targetProbability);
  const remarks = [...(isZero ? ['the map is zero'] : []), ...(note === undefined ? [] : [note])];
  return {
    image: explained.image,
    map: explained.map,
    title: explained.targetName,
    caption: [`${score}${why}`, ...remarks].join(' · '),
  };
}
