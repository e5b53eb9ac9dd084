import type { Engine, Session } from '../engine/engine.js';
import { ShiboriError } from '../errors.js';
import { findFixedBatch } from '../graph/batch.js';
import type { Graph } from '../graph/model.js';
import { compareLatencies } from '../metrics/speed.js';
import type { SpeedFigures } from '../report/comparison.js';
import { countElements } from '../tensor/dims.js';
import { seeded } from '../tensor/random.js';
import { float32, type Tensor } from '../tensor/tensor.js';

/** A batch of seeded numbers for the first input of a graph. */
export function buildRandomInput(graph: Graph, batch: number): Record<string, Tensor> {
  const input = graph.inputs[0];
  const dims = (input?.type?.dims ?? []).map((dim, axis) => (axis === 0 ? batch : typeof dim === 'number' ? dim : 1));
  const random = seeded(0, batch);
  const values = Float32Array.from({ length: countElements(dims) }, () => random.uniform(-1, 1));
  return { [input?.name ?? '']: float32(values, dims) };
}

/** Runs of each model below which an interval of their ratio would say little. */
const FEWEST_RUNS = 7;
const MOST_RUNS = 200;
/** Batch sizes that models of any batch are timed at: one image at a time, and many. */
const TIMED_BATCHES: readonly number[] = [1, 64];

const computeLeastCommonMultiple = (a: number, b: number): number => {
  let [x, y] = [a, b];
  while (y > 0) [x, y] = [y, x % y];
  return (a / x) * b;
};

/**
 * Chooses the batch sizes that two models are compared at: 1 and 64; where a graph runs for one size alone, the smallest
 * that both can do in whole batches.
 */
export function chooseTimedBatches(before: Graph, after: Graph): readonly number[] {
  const fixed = [before, after].flatMap((graph) => findFixedBatch(graph) ?? []);
  return fixed.length === 0 ? TIMED_BATCHES : [fixed.reduce(computeLeastCommonMultiple)];
}

/** Prepares what times one pass of `batch` images through a graph, in pieces of its fixed batch where it has one. */
async function prepareTimedRun(engine: Engine, graph: Graph, batch: number, sessions: Session[]) {
  const size = findFixedBatch(graph) ?? batch;
  if (batch % size !== 0) {
    throw new ShiboriError(
      `Timing a model at batch ${batch}: its graph runs for batches of ${size} alone. Give a multiple of ${size}.`,
      { code: 'invalid-data' },
    );
  }
  const feeds = buildRandomInput(graph, size);
  const session = await engine.load(graph);
  sessions.push(session);
  return async (): Promise<number> => {
    const start = performance.now();
    for (let done = 0; done < batch; done += size) await session.run(feeds);
    return performance.now() - start;
  };
}

/**
 * Times two graphs on the same input, interleaved, so that a machine whose speed drifts treats both alike.
 *
 * @param options.batch images a run, a multiple of the batch that a graph is fixed to.
 * @param options.seconds about how long to measure. Default: 2.
 */
export async function measureSpeed(
  engine: Engine,
  before: Graph,
  after: Graph,
  options: { readonly batch: number; readonly seconds?: number },
): Promise<SpeedFigures> {
  const { batch, seconds = 2 } = options;
  const sessions: Session[] = [];
  try {
    const timeBefore = await prepareTimedRun(engine, before, batch, sessions);
    const timeAfter = await prepareTimedRun(engine, after, batch, sessions);
    for (let warmUp = 0; warmUp < 2; warmUp++) {
      await timeBefore();
      await timeAfter();
    }
    const pairs: [number, number][] = [];
    const end = performance.now() + seconds * 1000;
    while (pairs.length < FEWEST_RUNS || (performance.now() < end && pairs.length < MOST_RUNS)) {
      // The order alternates too: the second of a pair finds warmer or colder caches.
      if (pairs.length % 2 === 0) {
        const first = await timeBefore();
        pairs.push([first, await timeAfter()]);
      } else {
        const first = await timeAfter();
        pairs.push([await timeBefore(), first]);
      }
    }
    const { before: beforeMs, after: afterMs, ratio, interval } = compareLatencies(pairs);
    return { batch, runs: pairs.length, beforeMs, afterMs, ratio, ratioInterval: interval };
  } finally {
    for (const session of sessions) await session.dispose();
  }
}
