/** What a table says of each layer, on the page and on the terminal: a command loads it at its start, so nothing that draws. */
import { formatInteger } from '../report/format.js';
import type { LayerFigures } from './size-figures.js';

/** A share as a percentage; of nothing, as of a layer without a size before, a dash. */
export const formatShare = (value: number): string => (Number.isFinite(value) ? `${(100 * value).toFixed(1)} %` : '–');

/** What a table of layers says of each between its ranks and what was predicted. */
export const LAYER_COLUMNS = ['parameters', 'left', 'bytes', 'gzip', 'mult-adds', 'latency'] as const;

/** The cells of these columns, and the prediction. */
export function formatLayerCells({ size: { before, after, ratio }, speed, scheme, predicted }: LayerFigures): string[] {
  return [
    `${formatInteger(before.parameters)} → ${formatInteger(after.parameters)}`,
    formatShare(ratio.parameters),
    formatShare(ratio.onnxBytes),
    formatShare(ratio.gzipBytes),
    formatShare(ratio.multAdds),
    speed ? formatShare(speed.ratio) : '–',
    scheme ? predicted.toPrecision(2) : '–',
  ];
}

/** What the layers of a compression are predicted to lose together, in nats, before any training. */
export function sumPredictedDivergence(layers: readonly Pick<LayerFigures, 'predicted'>[]): number {
  return layers.reduce((sum, { predicted }) => sum + predicted, 0);
}
