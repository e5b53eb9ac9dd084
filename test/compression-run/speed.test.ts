import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
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

/** Longer than any graph of the tiny network takes. */
const DELAY_MS = 20;

/** An engine on which whatever holds a certain parameter runs slowly. */
function slowEngine(isSlow: (parameter: string) => boolean): Engine {
  const engine = nodeEngine({ threads: 1 });
  return {
    name: engine.name,
    async load(graph) {
      const session = await engine.load(graph);
      if (![...graph.initializers.keys()].some(({ name }) => isSlow(name))) return session;
      return {
        async run(...given) {
          await setTimeout(DELAY_MS);
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
    engine: slowEngine(isSlow),
    workers: 0,
  });

describe('the verdict of speed', () => {
  it('refuses a model that runs slower, names the layer, and writes nothing', async () => {
    const slower = run('slow', (name) => name.includes('factor0'), false);
    await expect(slower).rejects.toThrow(
      /runs slower than the original \(batch 1: .* ms, .*x the speed .*\).*Slower than they were: net\.classifier\.0 \(.*`allowSlower`.*Nothing was written/,
    );
    expect(existsSync(join(folder, 'slow.onnx'))).toBe(false);
  });

  it('takes one that runs slower where that is allowed, and states it', async () => {
    const { speed, layers } = await run('allowed', (name) => name.includes('factor0'), true);
    expect(existsSync(join(folder, 'allowed.onnx'))).toBe(true);
    for (const { ratio } of speed) expect(ratio).toBeGreaterThan(1);
    expect(layers[0]?.speed?.ratio).toBeGreaterThan(1);
  });

  it('measures a layer to its end, all factors and the bias', async () => {
    // Only the last factor is slow: a measurement that ended at the first would not see it.
    const { layers } = await run('last', (name) => name.includes('factor1'), true);
    expect(layers[0]).toMatchObject({ path: 'net.classifier.0', scheme: 'svd' });
    expect(layers[0]?.speed?.afterMs).toBeGreaterThan(DELAY_MS / 2);
  });

  it('takes one that runs faster without being told to', async () => {
    const { speed } = await run('fast', (name) => name === 'net.classifier.0.weight', false);
    for (const { ratio } of speed) expect(ratio).toBeLessThan(1);
  });
});
