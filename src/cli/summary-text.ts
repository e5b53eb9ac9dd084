import { formatDims } from '../graph/dims.js';
import type { DeclaredValue } from '../io/models/open-onnx.js';
import { describePreprocess, PREPROCESS_PARTS } from '../models/preprocessing.js';
import type { ModelSummary } from '../workflows/summarize.js';
import { formatByteSize, formatEngineering, formatInteger } from './output.js';
import { formatTable } from './terminal-table.js';

/** The layer tree of a summary, one row a module, containers included, as torchinfo draws it. */
export function formatSummary(summary: ModelSummary): string {
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
      layer.parameters > 0 && layer.trainable === 0
        ? `(${formatInteger(layer.parameters)})`
        : formatInteger(layer.parameters);
    rows.push([
      `${'  '.repeat(parts.length - 1)}${parts.at(-1)}: ${layer.type}`,
      `[${layer.outputShape.join(', ')}]`,
      layer.parameters === 0 ? '–' : state,
      layer.multAdds === 0 ? '–' : formatInteger(layer.multAdds),
    ]);
  }
  return [
    formatTable(['layer (parameters in parentheses are frozen)', 'output shape', 'parameters', 'mult-adds'], rows),
    '',
    `Input                  [${summary.inputShape.join(', ')}]`,
    `Parameters             ${formatInteger(summary.parameters)}`,
    `  trainable            ${formatInteger(summary.trainable)}`,
    `  frozen               ${formatInteger(summary.frozen)}`,
    `Total mult-adds (MACs) ${formatEngineering(summary.multAdds)} (${formatInteger(summary.multAdds)})`,
    `Input size             ${formatByteSize(summary.inputBytes)}`,
    `Forward/backward size  ${formatByteSize(summary.activationBytes)}`,
    `Parameter size         ${formatByteSize(summary.sizeBytes)} in float32`,
    ...(summary.stored
      ? [`File size              ${formatInteger(summary.stored.bytes)} bytes, ${summary.stored.dtype}`]
      : []),
    ...describeFileOrigin(summary),
    ...describeImageInput(summary),
    ...summary.notes.map((note) => `Note: ${note}`),
  ].join('\n');
}

function describeFileOrigin({ origin }: ModelSummary): string[] {
  if (!origin) return [];
  const list = (values: readonly DeclaredValue[]) =>
    values.map(({ name, dtype, dims }) => `${name} ${dtype} ${formatDims(dims)}`).join('; ');
  return [
    '',
    `Operator set           ${origin.opset}${origin.producer === '' ? '' : `, written by ${origin.producer}`}`,
    `Inputs in the file     ${list(origin.inputs)}${origin.layout === undefined ? '' : `, ${origin.layout.toUpperCase()}`}`,
    `Outputs in the file    ${list(origin.outputs)}`,
  ];
}

/** What the scores of a model are, in words. */
function describeScoreKind({ kind, labels }: NonNullable<ModelSummary['scores']>): string {
  return labels === 'none' ? 'values of a regression' : `${kind}, ${labels}`;
}

/** One line a part of the preprocessing, with who says so. */
function describeImageInput({ preprocess, preprocessFrom, classes, scores, inputShape }: ModelSummary): string[] {
  const names = classes?.names ? `: ${classes.names.slice(0, 3).join('; ')}${classes.count > 3 ? '; …' : ''}` : '';
  const lines = [''];
  if (scores) lines.push(`Scores                 "${scores.output}": ${describeScoreKind(scores)}`);
  if (classes) lines.push(`Classes                ${formatInteger(classes.count)}${names}`);
  const [, channels] = inputShape;
  const isImage = inputShape.length === 4 && (channels === 1 || channels === 3);
  if (!preprocess && !isImage) {
    return [...lines, 'Preprocessing          none: image files have 3 channels (RGB) or 1 (gray)'];
  }
  if (!preprocess) return [...lines, 'Preprocessing          unknown: give the size of the images with --input'];
  const words = describePreprocess(preprocess);
  const rows = PREPROCESS_PARTS.map((part) => [part, words[part], preprocessFrom?.[part] ?? '']);
  return [...lines, '', formatTable(['preprocessing', 'what is done', 'says'], rows)];
}
