import type { ExplainedImageJson, ExplainJson } from './explain-json.js';
import { formatPercent } from './output.js';
import { formatTable } from './terminal-table.js';

/** What is odd about a map, in a word. */
function describeMapProblem({ isZero, isSaturated }: ExplainedImageJson): string {
  if (isZero) return 'zero map';
  return isSaturated ? 'saturated' : '';
}

const formatProbability = (value: number | null): string => (value === null ? '–' : formatPercent(100 * value));

/** The explained images of a regression: no classes, the values themselves. */
function formatRegressionTable(images: readonly ExplainedImageJson[]): string {
  return formatTable(
    ['image', 'output', 'value', 'map', 'picture'],
    images.map((row) => [
      row.file,
      row.target,
      row.targetScore.toPrecision(6),
      describeMapProblem(row),
      row.picture ?? '–',
    ]),
  );
}

/** Explained images for a terminal: what is predicted and explained, and the most probable classes of each. */
export function formatExplanations({ layer, scores, images }: ExplainJson): string {
  const head = `Layer ${layer}, explained: ${scores.labels === 'none' ? 'the output' : scores.explained}`;
  if (scores.labels === 'none') return [head, formatRegressionTable(images)].join('\n');
  const rows = images.map((row) => [
    row.file,
    row.predictedName,
    formatProbability(row.probability),
    row.targetName,
    describeMapProblem(row),
    row.picture ?? '–',
  ]);
  const top = images.map(
    ({ file, top: classes }) =>
      `${file}: ${classes.map(({ name, probability: p }) => `${name} ${formatPercent(100 * p)}`).join(', ')}`,
  );
  return [
    head,
    formatTable(['image', 'predicted', 'probability', 'explained', 'map', 'picture'], rows),
    '',
    'Most probable classes',
    ...top,
  ].join('\n');
}
