/** Whether a squeezed model runs slower than the original, and which of its layers do. */

import type { Engine } from '../../engine/engine.js';
import type { Graph, Value } from '../../graph/model.js';
import { rewrite } from '../../passes/rewrite.js';
import type { SpeedFigures } from '../../report/comparison.js';
import { measureSpeed } from '../measure.js';

/** Batch sizes of the verdict: one image at a time, and many. */
const BATCHES = [1, 64] as const;
/** Ratios of interleaved runs vary by about this much from one measurement to the next. */
const NOISE = 0.05;

/** Latency of the squeezed model against the original, at batch 1 and 64, or at the only batch that the graph runs for. */
export async function speedOf(engine: Engine, before: Graph, after: Graph, seconds: number): Promise<SpeedFigures[]> {
  const fixed = before.inputs[0]?.type?.dims[0];
  const figures: SpeedFigures[] = [];
  for (const batch of typeof fixed === 'number' ? [fixed] : BATCHES) {
    figures.push(await measureSpeed(engine, before, after, { batch, seconds }));
  }
  return figures;
}

/** Whether a ratio after / before is above 1 by more than measurements vary. */
export const isSlower = ({ ratio }: Pick<SpeedFigures, 'ratio'>): boolean => ratio > 1 + NOISE;

/** The part of a graph from one value to another. */
function between(graph: Graph, from: string, to: string): Graph | undefined {
  const values = new Map<string, Value>();
  for (const value of [...graph.inputs, ...graph.nodes.flatMap(({ outputs }) => outputs)]) {
    if (value) values.set(value.name, value);
  }
  const [x, y] = [values.get(from), values.get(to)];
  return x && y && rewrite(graph, { cutAt: [x], outputs: [y] });
}

/** Latency of one layer, alone at batch 1: medians of interleaved runs. */
export type LayerSpeed = Pick<SpeedFigures, 'beforeMs' | 'afterMs' | 'ratio'>;

/** A layer that was squeezed, and the names of the values that it lies between. */
export interface Placed {
  readonly path: string;
  readonly from: string;
  readonly to: string;
}

/** Seconds that each layer is measured for. */
const LAYER_SECONDS = 0.2;

/** Latency of each layer before and after, by path. */
export async function layerSpeeds(
  engine: Engine,
  before: Graph,
  after: Graph,
  layers: readonly Placed[],
): Promise<Map<string, LayerSpeed>> {
  const found = new Map<string, LayerSpeed>();
  for (const { path, from, to } of layers) {
    const [a, b] = [between(before, from, to), between(after, from, to)];
    if (!a || !b) continue;
    const { beforeMs, afterMs, ratio } = await measureSpeed(engine, a, b, { batch: 1, seconds: LAYER_SECONDS });
    found.set(path, { beforeMs, afterMs, ratio });
  }
  return found;
}
