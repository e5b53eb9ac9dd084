import type { Summary } from '../models/summary.js';
import { engineering, integer, megabytes, table } from './output.js';

/** The layer tree of a summary, one row a module, containers included, as torchinfo draws it. */
export function summaryText(summary: Summary): string {
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
    `Parameter size        ${megabytes(summary.sizeBytes)}`,
  ].join('\n');
}
