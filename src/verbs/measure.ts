import { cpus } from 'node:os';
import type { Engine, Session } from '../engine/engine.js';
import type { Graph } from '../graph/model.js';
import type { SpeedFigures } from '../report/comparison.js';
import { sizeOf } from '../tensor/dims.js';
import { seeded } from '../tensor/random.js';
import { float32, type Tensor } from '../tensor/tensor.js';

/** The middle value; the mean of the two middle ones for an even count. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** A batch of seeded numbers for the first input of a graph. */
export function randomInput(graph: Graph, batch: number): Record<string, Tensor> {
  const input = graph.inputs[0];
  const dims = (input?.type?.dims ?? []).map((dim, axis) => (axis === 0 ? batch : typeof dim === 'number' ? dim : 1));
  const random = seeded(0, batch);
  const values = Float32Array.from({ length: sizeOf(dims) }, () => random.uniform(-1, 1));
  return { [input?.name ?? '']: float32(values, dims) };
}

async function timeRun(session: Session, feeds: Record<string, Tensor>): Promise<number> {
  const start = performance.now();
  await session.run(feeds);
  return performance.now() - start;
}

/**
 * Times two graphs on the same input in turn, so that a machine whose speed drifts treats both alike.
 *
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
    for (const graph of [before, after]) sessions.push(await engine.load(graph));
    const [a, b] = sessions;
    if (!a || !b) throw new Error('unreachable: two sessions were loaded');
    const feedsA = randomInput(before, batch);
    const feedsB = randomInput(after, batch);
    for (let warmUp = 0; warmUp < 2; warmUp++) {
      await timeRun(a, feedsA);
      await timeRun(b, feedsB);
    }
    const times: [number, number][] = [];
    const end = performance.now() + seconds * 1000;
    while (times.length < 5 || (performance.now() < end && times.length < 200)) {
      // The order alternates too: the second of a pair finds warmer or colder caches.
      if (times.length % 2 === 0) {
        const first = await timeRun(a, feedsA);
        times.push([first, await timeRun(b, feedsB)]);
      } else {
        const first = await timeRun(b, feedsB);
        times.push([await timeRun(a, feedsA), first]);
      }
    }
    return {
      batch,
      runs: times.length,
      beforeMs: median(times.map(([x]) => x)),
      afterMs: median(times.map(([, y]) => y)),
      ratio: median(times.map(([x, y]) => y / x)),
    };
  } finally {
    for (const session of sessions) await session.dispose();
  }
}

/** What figures of speed depend on. */
export function machineOf(threads: number | undefined): { cpu: string; threads: number; node: string } {
  const cores = cpus();
  return { cpu: cores[0]?.model.trim() ?? 'unknown', threads: threads ?? cores.length, node: process.version };
}
