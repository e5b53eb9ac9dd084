import { renderTriptychs } from '../../node/triptych.js';
import type { Picture } from '../../report/html.js';
import { triptychRow } from '../explain.js';
import type { ComparedMaps } from './maps.js';

/** Draws the maps of both models for the first `count` of the compared images. */
export async function drawPictures(maps: ComparedMaps, count: number): Promise<Picture[]> {
  const pictures: Picture[] = [];
  for (let i = 0; i < Math.min(count, maps.before.length); i++) {
    const [a, b] = [maps.before[i], maps.after[i]];
    if (!a || !b) continue;
    const rows = [
      triptychRow(a, 'before'),
      triptychRow(b, `after · correlation ${maps.correlations[i]?.toFixed(3) ?? 'not defined'}`),
    ];
    pictures.push({ title: a.file, png: await renderTriptychs(rows, { layer: maps.figures.layer }) });
  }
  return pictures;
}
