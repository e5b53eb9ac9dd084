import { formatDims } from '../graph/dims.js';
import type { DeclaredValue } from '../io/models/open-onnx.js';
import { describePreprocess, PREPROCESS_PARTS } from '../models/preprocessing.js';
import type { FileSummary } from '../workflows/summarize.js';
import { engineering, integer, megabytes } from './output.js';
import { table } from './table.js';

/** The layer tree of a summary, one row a module, containers included, as torchinfo draws it. */
export function summaryText(summary: FileSummary): string {
  const rows: (string | number)[][] = [];
  const shown = new Set<string>();
  for (const layer of summary.layers) {
    const parts = layer.name.split('.');
    for (let depth = 1; depth < parts.length; depth++) {
      const container = parts.slice(0, depth).join('.');
      if (shown.has(container)) continue;
      shown.add(container);
      rows.push([`${'  '.repeat(depth - 1)}${parts[depth - 1]}`, '', '', '', '']);
    }
    const state =
      layer.parameters > 0 && layer.trainable === 0 ? `(${integer(layer.parameters)})` : integer(layer.parameters);
    rows.push([
      `${'  '.repeat(parts.length - 1)}${parts.at(-1)}: ${layer.type}`,
      `[${layer.outputShape.join(', ')}]`,
      layer.parameters === 0 ? '–' : state,
      layer.multAdds === 0 ? '–' : integer(layer.multAdds),
    ]);
  }
  return [
    table(['layer (parameters in parentheses are frozen)', 'output shape', 'parameters', 'mult-adds'], rows),
    '',
    `Input                 [${summary.inputShape.join(', ')}]`,
    `Parameters            ${integer(summary.parameters)}`,
    `  trainable           ${integer(summary.trainable)}`,
    `  frozen              ${integer(summary.frozen)}`,
    `Mult-adds             ${engineering(summary.multAdds)} (${integer(summary.multAdds)})`,
    `Input size            ${megabytes(summary.inputBytes)}`,
    `Forward/backward size ${megabytes(summary.activationBytes)}`,
    `Parameter size        ${megabytes(summary.sizeBytes)} in float32`,
    ...(summary.stored
      ? [`File size             ${integer(summary.stored.bytes)} bytes, ${summary.stored.dtype}`]
      : []),
    ...aboutFile(summary),
    ...aboutImages(summary),
    ...summary.notes.map((note) => `Note: ${note}`),
  ].join('\n');
}

function aboutFile({ origin }: FileSummary): string[] {
  if (!origin) return [];
  const list = (values: readonly DeclaredValue[]) =>
    values.map(({ name, dtype, dims }) => `${name} ${dtype} ${formatDims(dims)}`).join('; ');
  return [
    '',
    `Operator set          ${origin.opset}${origin.producer === '' ? '' : `, written by ${origin.producer}`}`,
    `Inputs in the file    ${list(origin.inputs)}${origin.layout === undefined ? '' : `, ${origin.layout.toUpperCase()}`}`,
    `Outputs in the file   ${list(origin.outputs)}`,
  ];
}

/** What the scores of a model are, in words. */
function kindText({ kind, labels }: NonNullable<FileSummary['scores']>): string {
  return labels === 'none' ? 'values of a regression' : `${kind}, ${labels}`;
}

/** One line a part of the preprocessing, with who says so. */
function aboutImages({ preprocess, preprocessFrom, classes, scores, inputShape }: FileSummary): string[] {
  const names = classes?.names ? `: ${classes.names.slice(0, 3).join('; ')}${classes.count > 3 ? '; …' : ''}` : '';
  const lines = [''];
  if (scores) lines.push(`Scores                "${scores.output}": ${kindText(scores)}`);
  if (classes) lines.push(`Classes               ${integer(classes.count)}${names}`);
  const [, channels] = inputShape;
  const isImage = inputShape.length === 4 && (channels === 1 || channels === 3);
  if (!preprocess && !isImage) {
    return [...lines, 'Preprocessing         none: image files have 3 channels (RGB) or 1 (gray)'];
  }
  if (!preprocess) return [...lines, 'Preprocessing         unknown: give the size of the images with --input'];
  const words = describePreprocess(preprocess);
  const rows = PREPROCESS_PARTS.map((part) => [part, words[part], preprocessFrom?.[part] ?? '']);
  return [...lines, '', table(['preprocessing', 'what is done', 'says'], rows)];
}
