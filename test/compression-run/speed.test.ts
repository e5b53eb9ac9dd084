import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Engine } from '../../src/engine/engine.js';
import { nodeEngine } from '../../src/engine/node.js';
import { compress } from '../../src/workflows/compress.js';
import { writeTinyStudy } from '../support/tiny-recipe.js';

let folder: string;
let files: Awaited<ReturnType<typeof writeTinyStudy>>;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shibori-speed-'));
  files = await writeTinyStudy(folder);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

// The clock stands still but for what the engine below takes.
beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
afterEach(() => void vi.useRealTimers());

/** Milliseconds of a run. */
const FAST_MS = 1;
const SLOW_MS = 20;

/** An engine on which each run takes a known time: longer for whatever holds a certain parameter. */
function timedEngine(isSlow: (parameter: string) => boolean): Engine {
  const engine = nodeEngine({ threads: 1 });
  return {
    name: engine.name,
    async load(graph) {
      const session = await engine.load(graph);
      const time = [...graph.initializers.keys()].some(({ name }) => isSlow(name)) ? SLOW_MS : FAST_MS;
      return {
        run(...given) {
          vi.advanceTimersByTime(time);
          return session.run(...given);
        },
        dispose: () => session.dispose(),
        [Symbol.asyncDispose]: () => session.dispose(),
      };
    },
  };
}

const run = (name: string, isSlow: (parameter: string) => boolean, allowSlower: boolean) =>
  compress({
    model: files.onnx,
    data: files.images,
    goal: { parameters: 0.6 },
    schemes: ['svd'],
    layers: ['*classifier.0'],
    allowSlower,
    inputSize: [8, 8],
    output: join(folder, `${name}.onnx`),
    work: join(folder, 'work'),
    engine: timedEngine(isSlow),
    workers: 0,
  });

const SLOWER = { beforeMs: FAST_MS, afterMs: SLOW_MS, ratio: 20, ratioInterval: [20, 20] };

describe('the verdict of speed', () => {
  it('refuses a model that runs slower, names the layer, and writes nothing', async () => {
    const slower = run('slow', (name) => name.includes('factor0'), false);
    await expect(slower).rejects.toThrow(
      /runs slower than the original \(batch 1: 1\.00 ms → 20\.00 ms, 0\.050x the speed .*\)\. Slower than they were: net\.classifier\.0 \(20\.00 times\).*`allowSlower`.*Nothing was written/,
    );
    expect(existsSync(join(folder, 'slow.onnx'))).toBe(false);
  });

  it('takes one that runs slower where that is allowed, and states it', async () => {
    const { speed, layers } = await run('allowed', (name) => name.includes('factor0'), true);
    expect(existsSync(join(folder, 'allowed.onnx'))).toBe(true);
    expect(speed).toMatchObject([
      { batch: 1, beforeMs: FAST_MS, afterMs: SLOW_MS, ratio: 20, ratioInterval: [20, 20] },
      { batch: 64, beforeMs: FAST_MS, afterMs: SLOW_MS, ratio: 20, ratioInterval: [20, 20] },
    ]);
    expect(layers.map((layer) => layer.speed)).toEqual([SLOWER]);
  });

  it('measures a layer to its end, all factors and the bias', async () => {
    // Only the last factor is slow: a measurement that ended at the first would not see it.
    const { layers } = await run('last', (name) => name.includes('factor1'), true);
    expect(layers).toMatchObject([{ path: 'net.classifier.0', scheme: 'svd', speed: SLOWER }]);
  });

  it('takes one that runs faster without being told to', async () => {
    const { speed } = await run('fast', (name) => name === 'net.classifier.0.weight', false);
    expect(speed.map(({ batch, ratio, ratioInterval }) => [batch, ratio, ratioInterval])).toEqual([
      [1, 1 / 20, [1 / 20, 1 / 20]],
      [64, 1 / 20, [1 / 20, 1 / 20]],
    ]);
  });
});
