/** Whether a squeezed model runs slower than the original, and which of its layers do. */

import type { Engine } from '../../engine/engine.js';
import type { Graph, Value } from '../../graph/model.js';
import { rewrite } from '../../passes/rewrite.js';
import type { SpeedFigures } from '../../report/comparison.js';
import type { SqueezedLayer } from '../../squeeze/squeeze.js';
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

/** Whether any of the ratios after / before is above 1 by more than measurements vary. */
export const isSlower = (figures: readonly Pick<SpeedFigures, 'ratio'>[]): boolean =>
  figures.some(({ ratio }) => ratio > 1 + NOISE);

/** The part of a graph from one value to another. */
function between(graph: Graph, from: string, to: string): Graph | undefined {
  const values = new Map<string, Value>();
  for (const value of [...graph.inputs, ...graph.nodes.flatMap(({ outputs }) => outputs)]) {
    if (value) values.set(value.name, value);
  }
  const [x, y] = [values.get(from), values.get(to)];
  return x && y && rewrite(graph, { cutAt: [x], outputs: [y] });
}

/** The squeezed layers that run slower than they did, each alone at batch 1: path and ratio, the slowest first. */
export async function slowerLayers(
  engine: Engine,
  before: Graph,
  after: Graph,
  layers: readonly (Pick<SqueezedLayer, 'path' | 'scheme'> & { readonly from: string; readonly to: string })[],
): Promise<{ readonly path: string; readonly ratio: number }[]> {
  const found: { path: string; ratio: number }[] = [];
  for (const { path, scheme, from, to } of layers) {
    const parts = scheme && [between(before, from, to), between(after, from, to)];
    const [a, b] = parts || [];
    if (!a || !b) continue;
    const { ratio } = await measureSpeed(engine, a, b, { batch: 1, seconds: 0.2 });
    if (ratio > 1 + NOISE) found.push({ path, ratio });
  }
  return found.sort((a, b) => b.ratio - a.ratio);
}
