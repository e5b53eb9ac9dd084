import type { Session } from '../engine/engine.js';
import { runInPieces } from '../engine/pieces.js';
import { findFixedBatch } from '../graph/batch.js';
import type { Graph } from '../graph/model.js';
import { expectFloat32, type Tensor } from '../tensor/tensor.js';

/**
 * Runs a graph's first output for a batch of images, `[n, classes]`. A graph that runs for one batch size alone gets the
 * images in pieces of that size.
 */
export async function runImages(session: Session, graph: Graph, images: Tensor<'float32'>): Promise<Tensor<'float32'>> {
  const input = graph.inputs[0]?.name ?? '';
  const output = graph.outputs[0]?.name ?? '';
  return runInPieces(images, findFixedBatch(graph), async (piece) =>
    expectFloat32((await session.run({ [input]: piece }))[output], `Output "${output}"`),
  );
}
