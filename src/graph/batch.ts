import type { Graph } from './model.js';

/** Finds the batch that a graph runs for alone; `undefined` where it runs for any. */
export function findFixedBatch(graph: Graph): number | undefined {
  const batch = graph.inputs[0]?.type?.dims[0];
  return typeof batch === 'number' ? batch : undefined;
}
