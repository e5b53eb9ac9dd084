import type { ExplainedFiles, ExplainResult } from '../workflows/explain.js';
import { percent } from './output.js';
import { table } from './table.js';

/** What is odd about a map, in a word. */
function remark({ isZero, isSaturated }: ExplainResult): string {
  if (isZero) return 'zero map';
  return isSaturated ? 'saturated' : '';
}

const probability = (value: number | null): string => (value === null ? '–' : percent(100 * value));

/** The explained images of a regression: no classes, the values themselves. */
function regressionTable(images: readonly ExplainResult[]): string {
  return table(
    ['image', 'output', 'value', 'map', 'picture'],
    images.map((row) => [row.file, row.target, row.targetScore.toPrecision(6), remark(row), row.picture ?? '–']),
  );
}

/** Explained images for a terminal: what is predicted and explained, and the most probable classes of each. */
export function explainText({ layer, scores, images }: ExplainedFiles): string {
  const head = `Layer ${layer}, explained: ${scores.labels === 'none' ? 'the output' : scores.explained}`;
  if (scores.labels === 'none') return [head, regressionTable(images)].join('\n');
  const rows = images.map((row) => [
    row.file,
    row.predictedName,
    probability(row.probability),
    row.targetName,
    remark(row),
    row.picture ?? '–',
  ]);
  const top = images.map(
    ({ file, top: classes }) =>
      `${file}: ${classes.map(({ name, probability: p }) => `${name} ${percent(100 * p)}`).join(', ')}`,
  );
  return [
    head,
    table(['image', 'predicted', 'probability', 'explained', 'map', 'picture'], rows),
    '',
    'Most probable classes',
    ...top,
  ].join('\n');
}
