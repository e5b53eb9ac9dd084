/** Whether a compressed model runs slower than the original, and which of its layers do. */

import type { Engine } from '../engine/engine.js';
import { ShiboriError } from '../errors.js';
import { chooseTimedBatches, measureSpeed } from '../evaluation/measure-speed.js';
import type { Graph, Value } from '../graph/model.js';
import { rewrite } from '../passes/rewrite.js';
import { describeSpeed, formatMilliseconds, type SpeedFigures } from '../report/comparison.js';

/**
 * Ratios vary by about this much between two measurements, because each loads its sessions again; the interval holds for the
 * runs of one measurement.
 */
const RATIO_NOISE = 0.05;

/** Measures the latency of the compressed model against the original at the batches that both can do. */
export async function measureSpeedChange(
  engine: Engine,
  before: Graph,
  after: Graph,
  seconds: number,
): Promise<SpeedFigures[]> {
  const figures: SpeedFigures[] = [];
  for (const batch of chooseTimedBatches(before, after)) {
    figures.push(await measureSpeed(engine, before, after, { batch, seconds }));
  }
  return figures;
}

/** Whether the second is slower: the interval of the ratio lies above 1, by more than measurements vary. */
export const isSlower = ({ ratio, ratioInterval }: Pick<SpeedFigures, 'ratio' | 'ratioInterval'>): boolean =>
  ratioInterval[0] > 1 && ratio > 1 + RATIO_NOISE;

/** The part of a graph from one value to another. */
function cutBetween(graph: Graph, from: string, to: string): Graph | undefined {
  const values = new Map<string, Value>();
  for (const value of [...graph.inputs, ...graph.nodes.flatMap(({ outputs }) => outputs)]) {
    if (value) values.set(value.name, value);
  }
  const [x, y] = [values.get(from), values.get(to)];
  return x && y && rewrite(graph, { cutAt: [x], outputs: [y] });
}

/** Latency of one layer, alone at the smallest batch: medians of interleaved runs. */
export type LayerSpeed = Pick<SpeedFigures, 'beforeMs' | 'afterMs' | 'ratio' | 'ratioInterval'>;

/** A layer that was compressed, and the names of the values that it lies between. */
export interface PlacedLayer {
  readonly path: string;
  readonly from: string;
  readonly to: string;
}

/** Seconds that each layer is measured for. */
const LAYER_SECONDS = 0.2;

/** Latency of each layer before and after, by path. */
export async function measureLayerSpeeds(
  engine: Engine,
  before: Graph,
  after: Graph,
  layers: readonly PlacedLayer[],
): Promise<Map<string, LayerSpeed>> {
  const found = new Map<string, LayerSpeed>();
  for (const { path, from, to } of layers) {
    const [a, b] = [cutBetween(before, from, to), cutBetween(after, from, to)];
    if (!a || !b) continue;
    const [batch = 1] = chooseTimedBatches(a, b);
    const { beforeMs, afterMs, ratio, ratioInterval } = await measureSpeed(engine, a, b, {
      batch,
      seconds: LAYER_SECONDS,
    });
    found.set(path, { beforeMs, afterMs, ratio, ratioInterval });
  }
  return found;
}

/** Throws a ShiboriError when the model runs slower than the original; it names the layers that do. */
export function refuseSlower(
  speed: readonly SpeedFigures[],
  layers: readonly { readonly path: string; readonly speed?: LayerSpeed }[],
): void {
  if (!speed.some(isSlower)) return;
  const figures = speed
    .map(
      (each) =>
        `batch ${each.batch}: ${formatMilliseconds(each.beforeMs)} → ${formatMilliseconds(each.afterMs)}, ${describeSpeed(each)}`,
    )
    .join('; ');
  const slower = layers.flatMap(({ path, speed: own }) => (own && isSlower(own) ? [{ path, ratio: own.ratio }] : []));
  const which = slower
    .sort((a, b) => b.ratio - a.ratio)
    .map(({ path, ratio }) => `${path} (${ratio.toFixed(2)} times)`)
    .join(', ');
  throw new ShiboriError(
    `The compressed model runs slower than the original (${figures}). ${which === '' ? 'No layer alone does' : `Slower than they were: ${which}`}. Accept it with \`allowSlower\`, choose others with \`layers\`, or limit \`macs\` instead. Nothing was written.`,
    { code: 'slower' },
  );
}
