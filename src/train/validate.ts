import { prefetch } from '../data/prefetch.js';
import type { Engine } from '../engine/engine.js';
import { runInPieces } from '../engine/pieces.js';
import { findFixedBatch } from '../graph/batch.js';
import type { Graph } from '../graph/model.js';
import { addCounts, computeAccuracy, computeLogProbabilities, countAccuracy, NO_IMAGES } from '../metrics/accuracy.js';
import { findScores } from '../ops/scores/scores.js';
import { cutToScores } from '../passes/scores-graph.js';
import { range } from '../tensor/dims.js';
import { expectFloat32, type Tensor, tensor } from '../tensor/tensor.js';
import { createEventLoopPause } from './event-loop-pause.js';
import type { Features, ImageWait } from './training-features.js';

/** Images validated at a time. */
const VALIDATION_BATCH = 256;

/**
 * Mean negative log-likelihood (nats) and top-1 (percent) of an inference graph on features of view 0.
 *
 * @param onProgress receives how many images are done, of how many, and how long they were waited for.
 * @returns `undefined` when the signal ended it.
 */
export async function validate(
  engine: Engine,
  graph: Graph,
  features: Features,
  onProgress: (done: number, total: number, wait: ImageWait) => void,
  signal?: AbortSignal,
): Promise<{ readonly loss: number; readonly top1: number } | undefined> {
  const { labels, count } = features.data;
  const started = performance.now();
  let waited = 0;
  const filled = await features.fill(
    0,
    (done, wait) => {
      waited = wait.waitedSeconds;
      onProgress(done, count, wait);
    },
    signal,
  );
  if (!filled) return undefined;
  const found = findScores(graph);
  const { labels: kind } = found;
  const measured = cutToScores(graph, found);
  const pause = createEventLoopPause();
  const session = await engine.load(measured);
  const chunks = range(Math.ceil(count / VALIDATION_BATCH)).map((i) =>
    range(Math.min(VALIDATION_BATCH, count - i * VALIDATION_BATCH)).map((k) => i * VALIDATION_BATCH + k),
  );
  const next = prefetch(chunks, (indices) => features.batch(indices, 0), features.ahead);
  let counts = NO_IMAGES;
  let done = 0;
  try {
    for (const indices of chunks) {
      if (signal?.aborted) return undefined;
      const asked = performance.now();
      const inputs = await next();
      waited += (performance.now() - asked) / 1000;
      if (!inputs) break;
      const scores = await runInPieces(inputs, findFixedBatch(graph), async (piece) => {
        const results = await session.run({ [graph.inputs[0]?.name ?? '']: piece });
        return expectFloat32(results[measured.outputs[0]?.name ?? ''], 'The scores');
      });
      const logProbabilities = computeLogProbabilities(scores, { kind: found.source.kind, labels: kind });
      // Unreadable images have no label and are not counted.
      for (const [row, index] of indices.entries()) {
        const label = labels[index] ?? -1;
        if (label >= 0) counts = addCounts(counts, countAccuracy(sliceRow(logProbabilities, row), [label], kind));
      }
      done += indices.length;
      onProgress(done, count, { waitedSeconds: waited, waitingShare: (1000 * waited) / (performance.now() - started) });
      await pause();
    }
  } finally {
    await session.dispose();
  }
  const { nll, top1 } = computeAccuracy(counts);
  return { loss: nll, top1 };
}

function sliceRow(matrix: Tensor<'float32'>, row: number): Tensor<'float32'> {
  const columns = matrix.dims[1] ?? 1;
  return tensor('float32', [1, columns], matrix.data.subarray(row * columns, (row + 1) * columns));
}
